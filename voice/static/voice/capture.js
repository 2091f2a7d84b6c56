// The microphone as frames of 20 ms, PCM16 at the rate asked for.
class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.step = sampleRate / processorOptions.rate; // input samples an output sample
    this.frame = new Int16Array(processorOptions.rate / 50);
    this.filled = 0;
    this.position = 0; // of the next output sample, in input samples of this block
    this.last = 0;
    this.energy = 0;
  }

  process([[input]]) {
    if (!input) return true;
    while (this.position < input.length) {
      // Linear between neighbours; where the browser resamples by itself the step is 1 and this is exact.
      const left = Math.floor(this.position);
      const share = this.position - left;
      const before = left === 0 ? this.last : input[left - 1];
      const value = this.step === 1 ? input[left] : before + (input[left] - before) * share;
      const clipped = Math.max(-1, Math.min(1, value));
      this.energy += clipped * clipped;
      this.frame[this.filled++] = clipped * 32767;
      if (this.filled === this.frame.length) this.send();
      this.position += this.step;
    }
    this.position -= input.length;
    this.last = input[input.length - 1];
    return true;
  }

  send() {
    const level = Math.sqrt(this.energy / this.frame.length);
    const audio = this.frame.slice().buffer;
    this.port.postMessage({ audio, level }, [audio]);
    this.filled = 0;
    this.energy = 0;
  }
}

registerProcessor("capture", Capture);
