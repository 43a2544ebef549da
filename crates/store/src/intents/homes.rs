//! Whose each service account is: what its principal says. One that was made over the API has a row of its own as well, which
//! says whether the permission system was told yet.

use std::collections::HashMap;

use domain::ports::{Home, Intended};
use uuid::Uuid;

use super::{ACCOUNTS_OF, account, keyed};
use crate::Store;
use crate::db::{Error, Keys, Row, Tx};

crate::statements! {
    PAGE = shared(
        "select id, name, account_id from principals
         where kind = 'service_account' and account_id is not null and name > $1 order by name limit $2",
    );
    BY_IDS = split(
        "select p.id, p.name, p.account_id from principals p join jsonb_to_recordset($1) as k(id uuid) on k.id = p.id
         where p.kind = 'service_account'",
        "select p.id, p.name, p.account_id from json_each($1) k join principals p on p.id = unhex(k.value->>'id')
         where p.kind = 'service_account'",
    );
    UNTOLD = split(
        concat!("select s.id from service_accounts s ", keyed!(postgres, "id"), " where s.related_at is null"),
        concat!("select s.id from service_accounts s ", keyed!(sqlite, "id"), " where s.related_at is null"),
    );
}

/// Their accounts, and whether they were told.
async fn complete(tx: &mut Tx, rows: &[Row]) -> Result<Vec<Home>, Error> {
    let home = |row: &Row| {
        let (service_account, name, account) = (row.get("id")?, row.get("name")?, row.get("account_id")?);
        Ok(Home { service_account, name, account, intended: Intended::Nothing })
    };
    let mut homes = rows.iter().map(home).collect::<Result<Vec<_>, Error>>()?;
    if homes.is_empty() {
        return Ok(homes);
    }
    let mut accounts = HashMap::new();
    for row in tx.query(&ACCOUNTS_OF).bind(Keys::new(homes.iter().filter_map(|home| home.account))).fetch_all().await? {
        accounts.insert(row.get::<Uuid>("id")?, account(&row)?);
    }
    let untold = tx.query(&UNTOLD).bind(Keys::new(homes.iter().map(|home| home.service_account))).fetch_all().await?;
    let untold = untold.iter().map(|row| row.get::<Uuid>("id")).collect::<Result<Vec<_>, _>>()?;
    for home in &mut homes {
        let of_account = home.account.and_then(|account| accounts.get(&account).copied());
        home.intended = if untold.contains(&home.service_account) { Intended::InFlight } else { of_account.unwrap_or(Intended::Nothing) };
    }
    Ok(homes)
}

impl Store {
    pub(super) async fn service_accounts_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<Home>, Error> {
        let mut tx = self.db.read().await?;
        // No name is empty.
        let rows = tx.query(&PAGE).bind(after.unwrap_or_default()).bind(i64::from(limit)).fetch_all().await?;
        complete(&mut tx, &rows).await
    }

    pub(super) async fn service_accounts_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, Error> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&BY_IDS).bind(Keys::new(ids.iter().copied())).fetch_all().await?;
        complete(&mut tx, &rows).await
    }
}
