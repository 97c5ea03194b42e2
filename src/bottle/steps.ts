/** The steps of a launch, by name: what events, progress lines and tests of interrupted launches refer to. */

export const LAUNCH_STEPS = [
  "record",
  "directories",
  "audit",
  "authority",
  "workspace",
  "bundle",
  "guest",
  "isolation",
  "doors",
  "provision",
  "running",
] as const;
export type LaunchStep = (typeof LAUNCH_STEPS)[number];

/** Told when a step begins. A launch waits for the answer, so an observer can stop the world there. */
export type StepObserver = (step: LaunchStep) => void | Promise<void>;
