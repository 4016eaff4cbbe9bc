const NAME = "secondpass-key";

/** The API key, which is kept until the tab is closed and nowhere else. */
export const apiKey = {
  get(): string | null {
    return sessionStorage.getItem(NAME);
  },
  set(key: string): void {
    if (key === "") sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
  },
};
