//! Who is let in, and by whom.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::permissions::Object;
use domain::ports::{Admission, ChangeAdmission, Identities, LinkIdentity, OutsideIdentity, Written};
use domain::users::revoke;
use domain::{Berth, Error};
use saga::StoreError;
use uuid::Uuid;

use crate::world::{OTHER, USER, World, caller, ready};

/// Nobody is revoked, and no other issuer vouches for anybody.
#[derive(Default)]
pub struct AllWell {
    /// Orders of operators who were shut out after the order was let in, answered as the store does; `None`: nobody orders anything.
    too_late: Option<Mutex<Vec<ChangeAdmission>>>,
}

#[async_trait]
impl Identities for AllWell {
    async fn admission(&self, user: Uuid) -> Result<Admission, StoreError> {
        Ok(Admission::of(user))
    }

    async fn known(&self, _: &OutsideIdentity) -> Result<Option<Uuid>, StoreError> {
        Ok(None)
    }

    async fn link(&self, new: LinkIdentity) -> Result<Written<Uuid>, StoreError> {
        Ok(Written::Done(new.user))
    }

    async fn change_admission(&self, new: ChangeAdmission) -> Result<Written<Option<Admission>>, StoreError> {
        let orders = self.too_late.as_ref().expect("nobody's admission is changed here");
        orders.lock().unwrap().push(new);
        Ok(Written::Done(None))
    }
}

#[test]
fn who_was_shut_out_meanwhile_shuts_out_nobody() {
    let world = World::new();
    world.grant([(Object::platform(), "administer")]);
    let identities = Arc::new(AllWell { too_late: Some(Mutex::default()) });
    let berth = Berth { identities: identities.clone(), ..world.berth() };
    let refused = ready(revoke(&berth, &caller(USER), OTHER.id, None, None)).unwrap_err();
    assert!(matches!(refused, Error::Forbidden { permission: "administer", .. }), "{refused:?}");
    let orders = identities.too_late.as_ref().unwrap().lock().unwrap();
    assert_eq!(orders.iter().map(|order| (order.user, order.keepers.clone())).collect::<Vec<_>>(), [(OTHER.id, vec![USER.id])]);
}
