// What the scripts of AUTOMATIC1111's web UI and of Forge do on their pages: the buttons that cover "Generate" while the
// program works, the progress bar, and the live preview in the gallery. Settings of the program: see web_ui.py.
() => {
  const POLL_MS = 250;
  const byId = (id) => document.getElementById(id);
  const show = (id, isShown) => { byId(id).style.display = isShown ? "block" : "none"; };
  const ask = async (body) => {
    const response = await fetch("./internal/progress", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(response.status);
    return response.json();
  };

  const follow = (task) => {
    const container = byId("txt2img_gallery_container"), gallery = byId("txt2img_gallery");
    const bar = document.createElement("div"), inner = document.createElement("div");
    bar.className = "progressDiv";
    inner.className = "progress";
    bar.append(inner);
    container.parentNode.insertBefore(bar, container);
    let preview = null, isOver = false, wasActive = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      bar.remove();
      if (preview) preview.remove();
      for (const name of ["interrupt", "skip", "interrupting"]) show(`txt2img_${name}`, false);
    };
    const pollProgress = async () => {
      try {
        const state = await ask({ id_task: task, live_preview: false });
        wasActive ||= state.active;
        if (state.completed || (wasActive && !state.active)) return end();
        inner.style.width = `${100 * (state.progress || 0)}%`;
        const percent = state.progress > 0 ? `${(100 * state.progress).toFixed(0)}% ETA: 1s` : "";
        inner.textContent = [state.textinfo, percent].filter(Boolean).join(" ");
        setTimeout(pollProgress, POLL_MS);
      } catch (error) {
        end();
      }
    };
    const pollPreview = async (last) => {
      try {
        const state = await ask({ id_task: task, id_live_preview: last });
        if (isOver) return;
        if (state.live_preview) {
          const image = new Image();
          image.onload = () => {
            if (isOver) return;
            if (!preview) {
              preview = document.createElement("div");
              preview.className = "livePreview";
              gallery.insertBefore(preview, gallery.firstElementChild);
            }
            preview.append(image);
            if (preview.childElementCount > 2) preview.firstElementChild.remove();
          };
          image.src = state.live_preview;
        }
        setTimeout(() => pollPreview(state.id_live_preview), POLL_MS);
      } catch (error) {
        end();
      }
    };
    pollProgress();
    pollPreview(0);
  };

  window.submitTxt2img = (...values) => {
    for (const name of ["interrupt", "skip"]) show(`txt2img_${name}`, true);
    const task = `task(${Math.random().toString(36).slice(2)})`;
    follow(task);
    return [task, ...values.slice(1)];
  };
  window.showInterrupting = (...values) => {
    show("txt2img_interrupt", false);
    show("txt2img_interrupting", true);
    return values;
  };
}
