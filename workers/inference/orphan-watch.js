// A thread of the inference process. While a model runs, the main thread hears nothing, so not that its worker was killed
// either; and a run that the worker would have ended by its time limit would then go on for ever.
// In JavaScript, because a thread that has types to strip takes 10 MB more.
import { workerData } from 'node:worker_threads';

/** How long an orphan may go on. */
const CHECK_MS = 1_000;

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL');
}, CHECK_MS);
