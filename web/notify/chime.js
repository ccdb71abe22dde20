/** A soft chime of two notes, made on the spot. */

const NOTES = [
  { hertz: 784, after: 0 },
  { hertz: 1175, after: 0.12 },
];
const SECONDS = 0.5;

export function createChime() {
  /** @type {AudioContext | undefined} */
  let audio;
  return function chime() {
    // Before the first click nothing sounds, and what was put off would sound all at once after it.
    if (navigator.userActivation?.hasBeenActive === false) return;
    audio ??= new AudioContext();
    void audio.resume();
    const start = audio.currentTime;
    for (const { hertz, after } of NOTES) {
      const note = new OscillatorNode(audio, { type: "sine", frequency: hertz });
      const volume = new GainNode(audio, { gain: 0 });
      volume.gain.setValueAtTime(0, start + after);
      volume.gain.linearRampToValueAtTime(0.12, start + after + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, start + after + SECONDS);
      note.connect(volume).connect(audio.destination);
      note.start(start + after);
      note.stop(start + after + SECONDS);
    }
  };
}
