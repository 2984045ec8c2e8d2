// Questions for an empty conversation, which the model at hand can answer.

// The demonstration model knows sums, comparing, counting letters and small word problems.
const NANO = [
  "What is 37 + 48?",
  "Sam has 14 apples and gives 5 away. How many are left?",
  "Count the r in strawberry",
  "Combien font 37 + 48 ?",
];
// Of the kinds that the model's card shows.
const MAGISTRAL = [
  "Exactly how many days lie between 14 July 1789 and 4 June 2025?",
  "Write four sentences, each with at least eight words. Every sentence must have exactly one word less than the one before.",
  "Combine 5, 7, 11, 19 and 23 with + − × ÷ to make 133, and check it.",
  "Write a Python function that merges overlapping intervals, with three tests.",
];

export function examplesFor(modelId) {
  return modelId === "nano" ? NANO : MAGISTRAL;
}
