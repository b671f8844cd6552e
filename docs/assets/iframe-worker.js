// Browsers let no page that was opened from disk start a worker, and the search runs in one. On such pages a hidden frame
// takes the worker's place: it runs the same script and passes messages on.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => this.frame.addEventListener("load", resolve, { once: true }));
      // the frame's own postMessage would answer to the frame itself
      this.frame.srcdoc = `<script>
        const worker = frameElement.worker;
        window.postMessage = (data) => worker.dispatchEvent(new parent.MessageEvent("message", { data }));
      </script><script src="${new URL(url, location.href)}"></script>`;
      this.frame.worker = this;
      document.documentElement.append(this.frame);
    }

    async postMessage(data) {
      await this.ready;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
