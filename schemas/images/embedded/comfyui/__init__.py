"""ComfyUI prompt graphs."""
