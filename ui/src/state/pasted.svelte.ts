/** The texts of the paste tab, which are kept while another tab is looked at. */
export const pasted = $state({ input: "", model: "" });
