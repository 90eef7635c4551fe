/** Prettier's settings: wide lines, the rest as it comes. */
export default { printWidth: 140 };
