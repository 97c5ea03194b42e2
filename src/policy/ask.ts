/** The port through which policy asks the operator, as far as policy knows it, and the answer when nobody can be asked. */

/** What came back; `pending` means that no answer came in time, which acts as a refusal. */
export type Answer = "granted" | "refused" | "pending";

/** Refuses everything: the operator of a bottle without supervise is never asked. */
export const refusingAsk: { readonly ask: () => Promise<Answer> } = {
  ask: () => Promise.resolve("refused"),
};
