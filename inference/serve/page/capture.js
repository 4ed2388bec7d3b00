// Collects what the microphone or a recording gives into packets of 0.1 s of 16-bit samples.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.packet = new Int16Array(Math.round(sampleRate / 10));
    this.filled = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.packet[this.filled++] = Math.round(sample * 32767);
      if (this.filled === this.packet.length) {
        const whole = this.packet;
        this.packet = new Int16Array(whole.length);
        this.filled = 0;
        this.port.postMessage(whole.buffer, [whole.buffer]);
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
