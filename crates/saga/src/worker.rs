//! Executes runs.
