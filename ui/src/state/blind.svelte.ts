/** Judging without knowing ranks and scores, so that they do not sway the grades. */
class Blind {
  hideRanks = $state(false);
  shuffle = $state(false);
  readonly active = $derived(this.hideRanks || this.shuffle);
}

export const blind = new Blind();
