//! What a whole Berth gets from its binary: ids, and the way to its worker.

use domain::ports::{Ids, Wake};
use saga::worker::Handle;
use uuid::Uuid;

pub struct RandomIds;

impl Ids for RandomIds {
    fn account(&self) -> Uuid {
        Uuid::new_v4()
    }
    fn within(&self, account: Uuid) -> Uuid {
        domain::ids::within(account, Uuid::now_v7())
    }
    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn key(&self) -> [u8; 32] {
        [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat().try_into().unwrap()
    }
}

pub struct WakeWorker(pub Handle);

impl Wake for WakeWorker {
    fn wake(&self) {
        self.0.wake();
    }
}
