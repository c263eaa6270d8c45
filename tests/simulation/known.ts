/** Faults that the simulation has found and that are not mended; it looks past them while they are `true`. */
export const KNOWN = {
  /**
   * A message that a closing worker gives back untried counts, when it comes again, as one whose worker may have died: RabbitMQ
   * tells no difference. If it is the second copy of a task that runs, it takes that over. Published anew it would tell, but a
   * worker that closes has no time for that, least of all while the broker takes nothing.
   */
  secondCopyTakesOver: true,
};
