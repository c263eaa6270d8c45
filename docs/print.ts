import { writePages } from './pages.ts';

/** `npm run docs`: writes the documents that are generated from code and figures. */
await writePages();
