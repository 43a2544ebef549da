//! `berth bench saga --real`: workspaces made whole, on a data platform that does everything at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::driver::Drained;
use super::house::House;
use super::place::Place;
use super::refused;
use super::sample::Sample;
use crate::failure::Failure;

/// Over how many accounts the workspaces are spread.
pub const ACCOUNTS: u32 = 64;

/// Creates workspaces, `in_flight` at once between the request and the end of its run.
///
/// # Errors
/// One is refused, or its run fails.
pub async fn drain(place: &Place, warm_up: u32, runs: u32, in_flight: u32, worker: u32) -> Result<Drained, Failure> {
    let mut house = House::open(&place.store, worker as usize).await?;
    house.work();
    let house = Arc::new(house);
    let accounts = Arc::new(house.accounts(ACCOUNTS).await?);
    create(&house, &accounts, 0..warm_up, in_flight).await?;
    let drained = create(&house, &accounts, warm_up..warm_up + runs, in_flight).await?;
    if let Some(mut house) = Arc::into_inner(house) {
        house.rest().await?;
    }
    Ok(drained)
}

async fn create(
    house: &Arc<House>,
    accounts: &Arc<Vec<uuid::Uuid>>,
    numbers: std::ops::Range<u32>,
    in_flight: u32,
) -> Result<Drained, Failure> {
    let next = Arc::new(AtomicU32::new(numbers.start));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..in_flight {
        let (house, accounts, next) = (house.clone(), accounts.clone(), next.clone());
        tasks.spawn(async move {
            let (mut sample, mut submitted, mut last) = (Sample::default(), began, began);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok::<_, Failure>((sample, submitted, last));
                }
                let asked = Instant::now();
                let account = accounts[number as usize % accounts.len()];
                let (_, run) = house.create(account, format!("Made {number}")).await?;
                submitted = Instant::now();
                last = house.ended(run).await?;
                sample.add(last.saturating_duration_since(asked));
            }
        });
    }
    let (mut sample, mut submitted, mut last) = (Sample::default(), began, began);
    while let Some(ended) = tasks.join_next().await {
        let (more, when, end) = ended.map_err(refused)??;
        sample.append(more);
        submitted = submitted.max(when);
        last = last.max(end);
    }
    Ok(Drained { elapsed: last - began, submitted: submitted - began, sample })
}
