/** Why an attempt ended, beside what its handler throws. */

/** Another pod may hold the run by now: stop, nothing of it will be committed. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** The process was told to stop: the run goes back, without an attempt counted. */
export class ShutDown extends Error {
  override readonly name = 'ShutDown';
}

/** The attempt took longer than the function allows. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut';
}

/** The rows of a set are more than a handler is given. */
export class SetTooLarge extends Error {
  override readonly name = 'SetTooLarge';
}
