"""Programs that take pictures: pages of Gradio, and the img2img tab of AUTOMATIC1111 and Forge."""
