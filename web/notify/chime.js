/**
 * A soft chime of two notes, synthesized. If this tab may not make a sound, it asks the others.
 */

const NOTES = [
  { hertz: 784, after: 0 },
  { hertz: 1175, after: 0.12 },
];
const SECONDS = 0.5;

/** Before the first click in a tab the browser plays no sound, and at that click all of them. */
const maySound = () => navigator.userActivation?.hasBeenActive !== false;

/**
 * @param {string} name of the lock by which only one of the tabs that are asked chimes
 * @param {BroadcastChannel} channel joins the user's tabs
 * @param {LockManager | undefined} [locks] absent outside secure contexts; then no tab chimes for another
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

  /** Chime for a tab that asks, unless another does. All are asked at once, so one holds the lock while it sounds. */
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
