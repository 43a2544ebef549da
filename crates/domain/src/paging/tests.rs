use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use rstest::rstest;

use super::*;

/// Rows 1..=`rows`; those that `hidden` says yes to are not the caller's to see.
struct Rows {
    length: u128,
    hidden: fn(u128) -> bool,
    fetched: Mutex<u32>,
}

#[async_trait]
impl Source for Rows {
    type Row = u128;

    fn key(row: &u128) -> Uuid {
        Uuid::from_u128(*row)
    }

    async fn fetch(&self, page: Page) -> Result<Vec<u128>, Error> {
        *self.fetched.lock().unwrap() += 1;
        let after = page.after.map_or(0, |after| after.as_u128());
        Ok((after + 1..=self.length).take(usize::try_from(page.limit).unwrap()).collect())
    }

    async fn visible(&self, rows: &[u128]) -> Result<Vec<bool>, Error> {
        Ok(rows.iter().map(|row| !(self.hidden)(*row)).collect())
    }
}

/// Nothing here waits for anything, so one poll suffices.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits"),
    }
}

fn page(source: &Rows, after: Option<Uuid>, limit: u32) -> Listed<u128> {
    ready(fill(source, Page { after, limit })).unwrap()
}

/// Follows `next` from the beginning to the end.
fn walk(source: &Rows, limit: u32) -> Vec<Vec<u128>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let listed = page(source, after, limit);
        pages.push(listed.items);
        match listed.next {
            Some(next) => {
                assert!(Some(next) > after, "the cursor must move on");
                after = Some(next);
            }
            None => return pages,
        }
    }
}

#[rstest]
#[case::all_visible(|_| false)]
#[case::every_second(|row| row % 2 == 0)]
#[case::a_long_stretch(|row| (5..1_500).contains(&row))]
#[case::a_stretch_longer_than_a_page_reads_on(|row| (5..9_000).contains(&row))]
#[case::the_end(|row| row > 3)]
#[case::all(|_| true)]
fn following_next_shows_every_visible_row_once(#[case] hidden: fn(u128) -> bool, #[values(1, 2, 7, 1000)] limit: u32) {
    let source = Rows { length: 10_000.min(u128::from(limit) * 3_000), hidden, fetched: Mutex::new(0) };
    let seen: Vec<u128> = walk(&source, limit).into_iter().flatten().collect();
    assert_eq!(seen, (1..=source.length).filter(|row| !hidden(*row)).collect::<Vec<_>>());
}

#[test]
fn a_page_is_filled_although_rows_are_hidden() {
    let source = Rows { length: 100, hidden: |row| row % 5 != 0, fetched: Mutex::new(0) };
    let listed = page(&source, None, 10);
    assert_eq!(listed.items, (1..=10).map(|n| n * 5).collect::<Vec<_>>());
    assert_eq!(listed.next, Some(Uuid::from_u128(50)), "the cursor is the last row that was looked at, not the last one read");
}

#[test]
fn an_exactly_full_last_page_has_no_next() {
    let source = Rows { length: 10, hidden: |_| false, fetched: Mutex::new(0) };
    assert_eq!(page(&source, None, 10).next, None);
    assert_eq!(page(&source, None, 9).next, Some(Uuid::from_u128(9)));
}

#[test]
fn a_page_over_hidden_rows_ends_after_a_bounded_number_of_reads() {
    let source = Rows { length: 1_000_000, hidden: |_| true, fetched: Mutex::new(0) };
    let listed = page(&source, None, 100);
    assert!(listed.items.is_empty());
    assert!(listed.next.is_some());
    assert_eq!(*source.fetched.lock().unwrap(), ROUNDS_MAX);
}
