/** The part of what is free that one owner may hold for each part that stays free: a lone owner gets nine tenths of a bound. */
const PARTS = 9;

/**
 * How much one owner may hold of a bound: nine times what stays free once it holds that (dynamic thresholds, Choudhury and Hahne,
 * "Dynamic queue length thresholds for shared-memory packet switches", 1998). A lone owner gets nine tenths; the next one finds a tenth free and
 * may take nine tenths of that. So nobody takes all of it, owners that stay converge to equal shares, and no list of shares has to be kept.
 *
 * @param max the bound
 * @param used what all owners hold, this one and what it asks for included
 */
export function shareOf(max: number, used: number): number {
  return PARTS * Math.max(0, max - used);
}
