//! Ids, time and hints, of which there are always some.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use domain::ids;
use domain::ports::{Health, Ids, Wake};
use saga::{StoreError, Time};
use uuid::Uuid;

use super::World;

#[async_trait]
impl Health for World {
    async fn now(&self) -> Result<Time, StoreError> {
        Ok(Time::from_micros(0))
    }
}

impl Ids for World {
    fn account(&self) -> Uuid {
        Uuid::from_u128((1 << 100) + (u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) << 32) + 0x99)
    }

    fn within(&self, account: Uuid) -> Uuid {
        ids::within(account, self.free())
    }

    fn free(&self) -> Uuid {
        Uuid::from_u128((2 << 100) + (u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) << 32))
    }

    fn key(&self) -> [u8; 32] {
        [7; 32]
    }
}

impl Wake for World {
    fn wake(&self) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}
