// A call from the browser: a voice session by the API, a WebSocket, a microphone and a loudspeaker.
const RATE = 16000;
const find = (id) => document.getElementById(id);
const { staff, capture, player } = document.body.dataset;
const [talk, state, transcript] = [find("talk"), find("state"), find("transcript")];

let call = null;

talk.addEventListener("click", () => (call ? call.stop() : start()));
find("form").addEventListener("submit", (event) => event.preventDefault());
find("key")?.addEventListener("change", () => listNetworks().catch(fail));

async function start() {
  talk.disabled = true;
  transcript.replaceChildren();
  tell("Connecting…");
  try {
    call = new Call();
    await call.start();
  } catch (error) {
    call?.stop();
    fail(error);
  } finally {
    talk.disabled = false;
  }
}

class Call {
  constructor() {
    this.latencies = []; // from the caller's last sound to the answer's first frame, ms
    this.bubbles = {};
  }

  async start() {
    // Asked for first: the browser wants the click for it, and a refusal needs no session.
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    const { transport } = await openSession();
    [this.context, this.source] = audioFor(this.stream);
    await Promise.all([this.context.audioWorklet.addModule(capture), this.context.audioWorklet.addModule(player)]);
    await this.context.resume();
    const options = { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1], processorOptions: { rate: RATE } };
    this.ear = new AudioWorkletNode(this.context, "capture", options);
    this.mouth = new AudioWorkletNode(this.context, "player", options);
    this.source.connect(this.ear);
    this.mouth.connect(this.context.destination);
    this.ear.port.onmessage = ({ data }) => this.heard(data);
    this.mouth.port.onmessage = ({ data }) => this.played(data);
    await this.connect(transport.ws_url);
    talk.setAttribute("aria-pressed", "true");
    talk.setAttribute("aria-label", "Hang up");
    find("settings").open = false;
    tell("Connected. Speak.");
  }

  connect(address) {
    return new Promise((resolve, reject) => {
      const socket = (this.socket = new WebSocket(address));
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        socket.send(JSON.stringify({ event: "start", sample_rate: RATE }));
        resolve();
      };
      socket.onmessage = ({ data }) => this.told(data);
      socket.onclose = () => {
        reject(new Error("All lines are busy. Try again in a moment."));
        this.stop();
      };
    });
  }

  stop() {
    if (this.stopped) return;
    this.stopped = true;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send('{"event":"stop"}');
    this.socket?.close();
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    call = null;
    talk.setAttribute("aria-pressed", "false");
    talk.setAttribute("aria-label", "Start talking");
    for (const id of ["mine", "theirs"]) find(id).value = 0;
    talk.style.setProperty("--level", 0);
    if (!state.classList.contains("alarm")) tell("The call is over.");
  }

  // ---- audio ----

  heard({ audio, level }) {
    const shown = Math.min(1, level * 6);
    find("mine").value = shown;
    talk.style.setProperty("--level", shown);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(audio);
  }

  played({ mark, level }) {
    if (mark !== undefined) this.send({ event: "mark", name: mark });
    if (level !== undefined) find("theirs").value = Math.min(1, level * 4);
  }

  measured(milliseconds) {
    this.latencies.push(milliseconds);
    const sorted = [...this.latencies].sort((a, b) => a - b);
    find("latency").textContent = `${Math.round(milliseconds)} ms`;
    find("median").textContent = `${Math.round(sorted[Math.floor(sorted.length / 2)])} ms`;
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // ---- what the service says ----

  told(data) {
    if (data instanceof ArrayBuffer) {
      this.mouth.port.postMessage({ audio: new Int16Array(data) });
      return;
    }
    const message = JSON.parse(data);
    switch (message.event) {
      case "mark": return this.mouth.port.postMessage({ mark: message.name });
      case "clear": return this.mouth.port.postMessage({ clear: true });
      case "transcript": return this.wrote(message);
      case "state": return tell(message.text);
      case "turn": return this.tookTurn(message);
      case "end": return note(`Call over: ${message.reason.replaceAll("_", " ")}.`);
    }
  }

  wrote({ role, text, final }) {
    if (role === "note") return note(text);
    const open = (this.bubbles[role] ??= bubble(role));
    open.textContent = text;
    open.classList.toggle("partial", !final);
    transcript.scrollTop = transcript.scrollHeight;
    if (role === "caller" && final) this.bubbles = {};
  }

  tookTurn({ number, reply_text, heard_text, interrupted, latencies, model }) {
    find("turns").textContent = number;
    const open = this.bubbles.agent ?? (reply_text ? bubble("agent") : null);
    if (!open) return;
    open.classList.remove("partial");
    open.textContent = interrupted ? heard_text : reply_text;
    if (interrupted) {
      const rest = document.createElement("span");
      rest.className = "unheard";
      rest.textContent = reply_text.slice(heard_text.length);
      open.append(rest);
    }
    const figures = document.createElement("small");
    const first = latencies.first_frame;
    if (first !== undefined) this.measured(first);
    figures.textContent = [first === undefined ? "" : `${Math.round(first)} ms at our edge`, model].filter(Boolean).join(" · ");
    open.append(figures);
    this.bubbles = {};
  }
}

// ---- sessions ----

async function openSession() {
  const phrases = find("phrases").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const config = {
    turn: { greeting: find("greeting").value },
    // Services without a key are skipped.
    connectors: { stt: { primary: "deepgram", fallback: ["openai", "local"], config: { phrases } } },
  };
  const network_id = find("network").value;
  if (staff !== undefined) return ask("/talk/session", { "X-CSRFToken": staff }, { network_id, config });
  if (!find("key").value) throw new Error("Type an API key first.");
  if (!network_id) await listNetworks();
  const body = { ...config, network_id: find("network").value, provider: "web", ttl_seconds: 900 };
  return ask("/api/voice/sessions/with-config", key(), body);
}

async function listNetworks() {
  const networks = await ask("/api/mesh/networks", key());
  const options = networks.filter(({ status }) => status === "active").map(({ id, name }) => new Option(name, id));
  find("network").replaceChildren(...options);
  find("network").disabled = options.length === 0;
  if (!options.length) throw new Error("This key has no network.");
}

function key() {
  return { Authorization: `Bearer ${find("key").value.trim()}` };
}

async function ask(address, headers, body) {
  const answer = await fetch(address, {
    method: body ? "POST" : "GET",
    headers: body ? { ...headers, "Content-Type": "application/json" } : headers,
    body: body && JSON.stringify(body),
  });
  const given = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const details = given.errors?.map(({ detail, message }) => detail ?? message).filter(Boolean).join(" ");
    throw new Error(details || given.detail || `The service answered ${answer.status}.`);
  }
  return given;
}

// ---- the page ----

function audioFor(stream) {
  // Where the browser cannot resample the microphone itself, the worklets do.
  for (const options of [{ sampleRate: RATE, latencyHint: "interactive" }, { latencyHint: "interactive" }]) {
    const context = new AudioContext(options);
    try {
      return [context, context.createMediaStreamSource(stream)];
    } catch {
      context.close();
    }
  }
  throw new Error("This browser gives no access to the microphone's audio.");
}

function bubble(role) {
  const line = document.createElement("li");
  line.className = role;
  transcript.append(line);
  transcript.scrollTop = transcript.scrollHeight;
  return line;
}

function note(text) {
  bubble("note").textContent = text;
}

function tell(text) {
  state.classList.remove("alarm");
  state.textContent = text;
}

function fail(error) {
  state.classList.add("alarm");
  state.textContent = error.name === "NotAllowedError" ? "The microphone was not allowed." : error.message;
}
