//! Rights are what a test grants; how they were asked for is kept.

use async_trait::async_trait;
use domain::permissions::{
    Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Revision, Update,
};

use super::World;

pub(super) fn right(object: &Object, permission: &str) -> String {
    format!("{}:{}#{permission}", object.kind, object.id)
}

#[async_trait]
impl Permissions for World {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        if *self.is_permission_system_away.lock().unwrap() {
            return Err(PermissionsError::Unavailable("away".to_owned()));
        }
        self.asked.lock().unwrap().push(consistency.clone());
        let rights = self.rights.lock().unwrap();
        Ok(checks.iter().map(|c| rights.contains(&right(&c.resource, &c.permission))).collect())
    }

    async fn check_of_row(&self, checks: &[Check], consistency: &Consistency, seen: Revision) -> Result<Vec<bool>, PermissionsError> {
        self.seen.lock().unwrap().push(seen);
        self.check(checks, consistency).await
    }

    async fn lookup(&self, kind: &str, permission: &str, _: &Object, consistency: &Consistency) -> Result<Vec<String>, PermissionsError> {
        self.asked.lock().unwrap().push(consistency.clone());
        let found = |right: &String| right.strip_prefix(&format!("{kind}:"))?.strip_suffix(&format!("#{permission}")).map(str::to_owned);
        Ok(self.rights.lock().unwrap().iter().filter_map(found).collect())
    }

    async fn write(&self, _: &[Update], _: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        panic!("no use case writes relationships")
    }

    async fn read(&self, _: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        panic!("no use case reads relationships")
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        Ok(())
    }
}
