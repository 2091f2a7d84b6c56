// Plays PCM16 in order, and tells when each mark has been reached. `clear` empties the queue and gives all its
// marks back at once, as a telephone carrier does.
class Player extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.step = processorOptions.rate / sampleRate; // queued samples an output sample
    this.queue = []; // {audio} and {mark}, in order
    this.position = 0; // in the first audio of the queue
    this.last = 0;
    this.blocks = 0;
    this.energy = 0;
    this.port.onmessage = ({ data }) => (data.clear ? this.clear() : this.queue.push(data));
  }

  clear() {
    for (const { mark } of this.queue) if (mark !== undefined) this.port.postMessage({ mark });
    this.queue = [];
    this.position = 0;
    this.last = 0;
  }

  process(_, [[output]]) {
    for (let place = 0; place < output.length; place++) output[place] = this.next();
    for (const value of output) this.energy += value * value;
    if (++this.blocks === 16) {
      this.port.postMessage({ level: Math.sqrt(this.energy / (16 * output.length)) });
      this.blocks = 0;
      this.energy = 0;
    }
    return true;
  }

  next() {
    for (;;) {
      const first = this.queue[0];
      if (first === undefined) return 0;
      if (first.mark !== undefined) {
        this.port.postMessage({ mark: first.mark });
        this.queue.shift();
      } else if (this.position >= first.audio.length) {
        this.position -= first.audio.length;
        this.last = first.audio[first.audio.length - 1] ?? 0;
        this.queue.shift();
      } else {
        const left = Math.floor(this.position);
        const before = left === 0 ? this.last : first.audio[left - 1];
        const value = this.step === 1 ? first.audio[left] : before + (first.audio[left] - before) * (this.position - left);
        this.position += this.step;
        return value / 32768;
      }
    }
  }
}

registerProcessor("player", Player);
