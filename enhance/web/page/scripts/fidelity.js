// @ts-check
// The fidelity of a result in words.

import { constants, nameOf } from "./words.js";

/** The grades from low to high, as many as the bars that show them. */
export const GRADES = ["free", "fair", "good", "very"];

/**
 * Returns the grade of a result, or null if its fidelity was not measured.
 * @param {any} info
 */
export function gradeOf(info) {
  const decibels = info.fidelity_worst_db;
  if (typeof decibels !== "number") return null;
  const shown = Math.round(10 * decibels) / 10;
  const found = Object.entries(constants.grades).find(([, lowest]) => shown >= lowest);
  return found?.[0] ?? null;
}

/** @param {string} grade */
export const gradeName = (grade) => nameOf("fidelity", grade);
