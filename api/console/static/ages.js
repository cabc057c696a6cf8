// Describes how long ago something happened, in the same words as `format_age` on the server.

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

// A negative age lies in the future.
export function describeAge(seconds) {
  if (Math.abs(seconds) < 1) return "now";
  const words = describeDuration(Math.round(Math.abs(seconds)));
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

function describeDuration(seconds) {
  if (seconds >= DAY_S) return describeUnits(seconds, DAY_S, "d", HOUR_S, "h");
  if (seconds >= HOUR_S) return describeUnits(seconds, HOUR_S, "h", MINUTE_S, "min");
  return seconds >= 2 * MINUTE_S ? `${Math.floor(seconds / MINUTE_S)} min` : `${seconds} s`;
}

function describeUnits(seconds, unitS, unit, smallerS, smaller) {
  const rest = Math.floor((seconds % unitS) / smallerS);
  return `${Math.floor(seconds / unitS)} ${unit}${rest ? ` ${rest} ${smaller}` : ""}`;
}
