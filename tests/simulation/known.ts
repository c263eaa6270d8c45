/** Faults that the simulation has found and that are not mended yet; it looks past them while they are `true`. */
export const KNOWN = {
  /** A store that loses everything may leave a subscription to a task that had ended without an end of its own. */
  lostEndIsWaitedFor: true,
  /** A claim that waits for a store that is away is sent again as it was, also after the task's time is over. */
  claimIsSentTooLate: true,
  /** A second copy of a message that was given back untried counts as one whose worker may have died. */
  secondCopyTakesOver: true,
};
