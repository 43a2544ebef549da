//! The schema in a real SpiceDB: written once, compared afterwards, and never at the cost of relationships.

use domain::permissions::Update::{Delete, Touch};
use domain::permissions::{Permissions as _, PermissionsError};

use super::notation::tuple;
use super::{CAUSE, blank_spicedb, spicedb};
use crate::permissions::spicedb::{Difference, SCHEMA, SchemaError};

fn told(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn an_empty_spicedb_is_not_ready_until_the_schema_is_written() {
    let spicedb = blank_spicedb().await;
    let before = spicedb.ready().await;
    assert!(matches!(&before, Err(PermissionsError::Invalid(what)) if what.contains("definition workspace")), "{before:?}");
    let written = spicedb.write_schema().await.unwrap();
    assert!(told(&written).contains(&"+ definition workspace".to_owned()), "{written:?}");
    spicedb.ready().await.unwrap();
    assert_eq!(spicedb.schema_differences().await.unwrap(), []);
    assert_eq!(spicedb.write_schema().await.unwrap(), [], "a second time there is nothing to write");
}

#[tokio::test]
async fn what_is_missing_or_means_something_else_is_not_ready_and_what_is_more_is() {
    for (from, to, difference, ready) in [
        ("\tpermission membership = owner + admin + member + viewer\n", "", "+ permission workspace#membership", false),
        ("membership = owner + admin + member + viewer", "membership = owner", "~ permission workspace#membership", false),
        ("relation viewer: user | service_account", "relation viewer: user", "+ relation workspace#viewer: service_account", false),
        ("definition user {}", "definition user {}\ndefinition team {}", "- definition team", true),
        ("// A provisioning run, as the subject of a seal.", "// Another word.", "", true),
    ] {
        let spicedb = spicedb().await;
        assert!(SCHEMA.contains(from), "{from}");
        spicedb.write_schema_text(SCHEMA.replacen(from, to, 1)).await.unwrap();
        let wanted: Vec<_> = [difference.to_owned()].into_iter().filter(|d| !d.is_empty()).collect();
        assert_eq!(told(&spicedb.schema_differences().await.unwrap()), wanted);
        assert_eq!(spicedb.ready().await.is_ok(), ready, "{difference}");
        spicedb.write_schema().await.unwrap();
        spicedb.ready().await.unwrap();
    }
}

#[tokio::test]
async fn what_holds_relationships_is_not_dropped() {
    for (from, to, holding, dropped) in [
        (
            "definition user {}",
            "definition user {}\ndefinition team {\n\trelation head: user\n}",
            "team:t#head@user:ann",
            "- definition team",
        ),
        ("\trelation viewer:", "\trelation guest: user\n\trelation viewer:", "workspace:w#guest@user:ann", "- relation workspace#guest"),
        (
            "relation owner: user\n",
            "relation owner: user | service_account\n",
            "account:a#owner@service_account:r",
            "- relation account#owner: service_account",
        ),
    ] {
        let spicedb = spicedb().await;
        spicedb.write_schema_text(SCHEMA.replacen(from, to, 1)).await.unwrap();
        spicedb.write(&[Touch(tuple(holding))], &[], &CAUSE).await.unwrap();
        let refused = spicedb.write_schema().await;
        let Err(SchemaError::HoldsData(what)) = refused else { panic!("{dropped}: {refused:?}") };
        assert_eq!(what, [dropped]);
        assert_eq!(told(&spicedb.schema_differences().await.unwrap()), [dropped], "nothing was written");
        spicedb.write(&[Delete(tuple(holding))], &[], &CAUSE).await.unwrap();
        assert_eq!(told(&spicedb.write_schema().await.unwrap()), [dropped]);
    }
}
