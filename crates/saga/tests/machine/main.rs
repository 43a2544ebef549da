//! `fold`, `next` and `advance` against the rules of a run: enumerated where the states can be counted, random where not.

mod causes;
mod in_place;
mod pauses;
mod random;
mod rules;
mod sagas;
mod sim;
mod verbs;
