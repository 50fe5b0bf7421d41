import * as z from 'zod/mini';
import { en } from 'zod/locales';

/** The small build of zod knows no words: without a language every message would be "Invalid input". */
z.config(en());

export { z };
