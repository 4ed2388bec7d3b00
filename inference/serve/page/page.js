// The live page: microphone -> /v1/stream -> decisions and replies (docs/serving.md).

const $ = (id) => document.getElementById(id);
const MOST_COLUMNS = 75;
const MOST_REPLIES = 200;
const UNANSWERED_MS = 5000; // then it is said; a connection may be dead for long before the browser knows

let session = null; // of the run in progress

class Run {
  // One connection with its source of audio. `open` resolves when both are ready.
  constructor(recording) {
    this.recording = recording;
    this.levels = [];
    this.latencies = [];
    this.arrivals = new Map();
    this.reply = null;
    this.over = false;
  }

  async open() {
    if (!window.isSecureContext || !window.AudioWorkletNode) {
      throw new Error("Browsers give the microphone to secure pages only: open this page as https, or on localhost.");
    }
    const hello = await this.connect();
    await this.capture(hello.model_rate_hz);
    const system = $("system").value.trim();
    const wanted = { command: "configure", encoding: "pcm16", sample_rate_hz: this.context.sampleRate };
    if (system) wanted.system = system;
    if ($("threshold").dataset.touched) wanted.threshold = Number($("threshold").value);
    else showThreshold(hello.threshold);
    this.send(wanted);
    this.chunk_s = hello.chunk_s;
    this.answered = performance.now();
    this.flowing = true;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const token = $("token").value.trim();
    const names = token ? ["soundflow", `openai-insecure-api-key.${token}`] : ["soundflow"];
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/stream`, names);
    return new Promise((resolve, reject) => {
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.event === "session_opened") resolve(event);
        else this.show(event);
      };
      this.socket.onclose = ({ code, reason }) => {
        reject(new Error("No connection: the server does not run, all its sessions are taken, or it needs a token."));
        this.closed(code, reason);
      };
    });
  }

  async capture(rate) {
    // Resampled here where the browser can; Firefox cannot, then the server does it.
    try {
      await this.listen(new AudioContext({ sampleRate: rate }));
    } catch (error) {
      if (error.name !== "NotSupportedError") throw error;
      await this.listen(new AudioContext());
    }
  }

  async listen(context) {
    this.context = context;
    await context.audioWorklet.addModule("capture.js");
    const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.packet(data);
    if (this.recording) {
      const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(await this.recording.arrayBuffer()) });
      source.connect(node);
      source.connect(context.destination);
      source.onended = () => setTimeout(() => this.finish(), 1500);
      this.startSource = () => source.start();
    } else {
      this.stream ??= await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true, noiseSuppression: false, autoGainControl: false } });
      this.stream.getTracks().forEach((track) => (track.onended = () => this.unplugged()));
      context.createMediaStreamSource(this.stream).connect(node);
    }
    await context.resume();
  }

  packet(buffer) {
    if (!this.flowing || this.socket.readyState !== WebSocket.OPEN) return;
    if (this.startSource) {
      this.startSource();
      this.startSource = null;
    }
    let peak = 0;
    for (const sample of new Int16Array(buffer)) peak = Math.max(peak, Math.abs(sample));
    this.levels.push(peak / 32768);
    this.socket.send(buffer);
    if (!this.unanswered && performance.now() - this.answered > UNANSWERED_MS) {
      this.unanswered = true;
      problem("The server does not answer.");
    }
  }

  send(command) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command));
  }

  unplugged() {
    problem("The microphone was disconnected.");
    this.finish();
  }

  finish() {
    this.flowing = false;
    if (!this.reply) state("finishing");
    this.send({ command: "finish" });
    this.release();
  }

  drop() {
    // Without waiting for the other side: it may be gone, or the browser may be asking for the microphone.
    this.over = this.dropped = true;
    this.release();
    this.socket.close();
    ended();
  }

  release() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") this.context.close();
  }

  closed(code, reason) {
    this.release();
    if (this.over) return;
    this.over = true;
    if (code !== 1000 && !$("problem").textContent) problem(reason ? `The server closed the connection: ${reason}.` : "The connection was lost.");
    if (session === this) ended();
  }

  show(event) {
    this.answered = performance.now();
    if (this.unanswered) problem("");
    this.unanswered = false;
    switch (event.event) {
      case "session_configured": showThreshold(event.threshold); break;
      case "decided": this.decided(event); break;
      case "reply_started": this.reply = addReply(event); state("speaking"); break;
      case "reply_text": this.text(event); break;
      case "reply_ended": this.ended(event); break;
      case "chunk_dropped": addColumn("dropped", 1, 0, `chunk ${event.chunk}: dropped, the server cannot keep up`); break;
      case "memory_trimmed": $("remembered").textContent = seconds(event.remembered_s); break;
      case "overloaded": problem(`The server is ${event.late_s.toFixed(1)} s behind.`); break;
      case "session_failed": case "error": problem(event.message ?? event.error); break;
    }
  }

  decided(event) {
    const per = Math.max(1, Math.round(this.chunk_s * 10));
    const level = Math.max(0, ...this.levels.splice(0, per));
    const what = event.speak ? "speak" : event.stale ? "stale" : "silent";
    const p = event.p_response ?? 0;
    addColumn(what, p, level, `${event.time_s.toFixed(1)} s: p = ${p.toFixed(2)}, ${what === "speak" ? "speaks" : what === "stale" ? "heard while speaking" : "silent"}`);
    $("p").textContent = p.toFixed(2);
    $("heard").textContent = seconds(event.time_s);
    if (event.remembered_s !== undefined) $("remembered").textContent = seconds(event.remembered_s);
    const took = event.wall_s - event.arrived_wall_s;
    this.latencies.push(took);
    if (this.latencies.length > 500) this.latencies.shift();
    const sorted = [...this.latencies].sort((a, b) => a - b);
    $("decision").textContent = milliseconds(took);
    $("decision-p95").textContent = `p95 ${milliseconds(sorted[Math.floor(0.95 * (sorted.length - 1))])}`;
    if (event.speak) this.arrivals.set(event.chunk, event.arrived_wall_s);
  }

  text(event) {
    const arrived = this.arrivals.get(event.chunk);
    if (arrived !== undefined) {
      $("first-text").textContent = milliseconds(event.wall_s - arrived);
      this.arrivals.delete(event.chunk);
    }
    if (!this.reply) return;
    this.reply.querySelector(".text").textContent += event.text;
    $("replies").scrollTop = $("replies").scrollHeight;
  }

  ended(event) {
    if (this.reply) {
      this.reply.classList.remove("open");
      this.reply.querySelector(".text").textContent = event.text;
      const notes = { limit: "cut at its limit", repetition: "ended: it repeated itself", stopped: "stopped" };
      const note = [event.emotion, notes[event.reason]].filter((x) => x && x !== "normal").join(", ");
      this.reply.querySelector(".note").textContent = note;
    }
    this.reply = null;
    state(this.flowing ? "listening" : "finishing");
  }
}

function addColumn(what, p, level, title) {
  const column = document.createElement("div");
  column.className = `column ${what}`;
  column.title = title;
  for (const [name, share] of [["level", Math.min(1, level * 1.4)], ["p", p]]) {
    const bar = document.createElement("i");
    bar.className = name;
    bar.style.setProperty("--share", share);
    column.append(bar);
  }
  $("columns").append(column);
  while ($("columns").childElementCount > MOST_COLUMNS) $("columns").firstElementChild.remove();
  $("strip").setAttribute("aria-label", title);
}

function addReply(event) {
  const item = document.createElement("li");
  item.className = "open";
  item.innerHTML = '<time></time><span class="text"></span><span class="note"></span>';
  item.querySelector("time").textContent = `${event.time_s.toFixed(1)} s`;
  $("replies").append(item);
  if ($("replies").childElementCount > MOST_REPLIES) $("replies").firstElementChild.remove();
  $("empty").hidden = true;
  return item;
}

const seconds = (s) => (s < 100 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`);
const milliseconds = (s) => `${Math.round(1000 * s)} ms`;

function showThreshold(value) {
  $("threshold").value = value;
  $("threshold-value").textContent = Number(value).toFixed(2);
  $("threshold-line").style.setProperty("--share", value);
}

function state(name) {
  document.body.dataset.state = name;
  $("state").textContent = { idle: "Not listening", opening: "Connecting", listening: "Listening", speaking: "Speaking", finishing: "Finishing" }[name];
  const on = name !== "idle";
  $("start").setAttribute("aria-pressed", on);
  $("start-label").textContent = name === "finishing" ? "End now" : on ? "Stop listening" : "Start listening";
  $("interrupt").disabled = name !== "speaking";
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function ended() {
  session = null;
  document.querySelectorAll(".replies .open").forEach((item) => item.classList.remove("open"));
  state("idle");
}

async function start(recording) {
  problem("");
  $("columns").replaceChildren();
  $("replies").replaceChildren();
  $("empty").hidden = false;
  const run = (session = new Run(recording));
  state("opening");
  try {
    await run.open();
    if (session === run) state("listening");
    else run.release();
  } catch (error) {
    if (run.dropped) return;
    const denied = error.name === "NotAllowedError" || error.name === "NotFoundError";
    problem(denied ? "The microphone is not available: allow it, or play a recording." : error.message);
    run.over = true;
    run.release();
    run.socket?.close();
    if (session === run) ended();
  }
}

function toggle() {
  if (!session) start(null);
  else if (session.flowing) session.finish();
  else session.drop();
}

$("start").addEventListener("click", toggle);
$("interrupt").addEventListener("click", () => session?.send({ command: "interrupt" }));
$("file").addEventListener("change", ({ target }) => {
  const [recording] = target.files;
  if (recording && !session) start(recording);
  target.value = "";
});
$("threshold").addEventListener("input", ({ target }) => {
  target.dataset.touched = "yes";
  showThreshold(target.value);
});
$("threshold").addEventListener("change", ({ target }) => session?.send({ command: "configure", threshold: Number(target.value) }));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("textarea, input, summary, button")) {
    if (event.key !== "Escape") return;
  }
  if (event.key === " ") {
    event.preventDefault();
    toggle();
  } else if (event.key === "Escape") {
    session?.send({ command: "interrupt" });
  }
});
