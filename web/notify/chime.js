/**
 * A soft chime of two notes, made on the spot; by another tab where this one may not sound.
 */

const NOTES = [
  { hertz: 784, after: 0 },
  { hertz: 1175, after: 0.12 },
];
const SECONDS = 0.5;

/** Before the first click in a tab the browser lets nothing sound, and plays all that was meant to at that click. */
const maySound = () => navigator.userActivation?.hasBeenActive !== false;

/**
 * @param {string} name of the lock that one of the tabs that are asked gets
 * @param {BroadcastChannel} channel joins the user's tabs
 * @param {LockManager | undefined} [locks] absent outside secure contexts; then every tab chimes for itself
 */
export function createChime(name, channel, locks = navigator.locks) {
  /** @type {AudioContext | undefined} */
  let audio;

  function sound() {
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
  }

  /** Sound, unless another tab has answered the same question; they all hear it while the first still sounds. */
  const answer = () =>
    locks?.request(name, { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      sound();
      await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000));
    });

  channel.addEventListener("message", ({ data }) => void (data.chime && maySound() && answer()));

  return function chime() {
    if (maySound()) sound();
    else channel.postMessage({ chime: true });
  };
}
