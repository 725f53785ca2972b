export const text = "Text one";
