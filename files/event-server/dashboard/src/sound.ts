/** Two soft tones; no file to load. */
export class Chime {
  private context: AudioContext | null = null;
  /** Whether the browser keeps it silent until the page is clicked. */
  get blocked(): boolean {
    return this.context?.state === 'suspended';
  }

  /** Asks the browser for sound; it says yes within a click or a key. */
  async unlock(): Promise<void> {
    this.context ??= new AudioContext();
    if (this.context.state === 'suspended') {
      await this.context.resume();
    }
  }

  ring(): void {
    const context = this.context;
    if (context?.state !== 'running') {
      return;
    }
    [660, 880].forEach((frequency, i) => {
      const start = context.currentTime + i * 0.18;
      const tone = new OscillatorNode(context, { frequency });
      const volume = new GainNode(context, { gain: 0 });
      volume.gain.setValueAtTime(0, start);
      volume.gain.linearRampToValueAtTime(0.25, start + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.001, start + 0.5);
      tone.connect(volume).connect(context.destination);
      tone.start(start);
      tone.stop(start + 0.6);
    });
  }
}
