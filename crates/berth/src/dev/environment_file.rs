//! `dev.env`: what a shell needs to talk to this Berth, and the lines that tell how to use it. The token stands in the
//! file only.

use std::path::Path;
use std::time::Duration;

use api::Issuer;
use domain::Berth;

use super::first_start::Tenant;
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::grant;

const FILE: &str = "dev.env";
/// The command line sees what the shell exports.
const EXPORT: &str = "export BERTH_URL BERTH_TOKEN BERTH_ACCOUNT_ID";
const LIFETIME: Duration = Duration::from_hours(30 * 24);

/// Writes the file with a fresh token; returns what to type next.
///
/// # Errors
/// The token cannot be signed or recorded, the file not written.
pub async fn write(
    folder: &DataFolder,
    shown: &Path,
    issuer: &Issuer,
    berth: &Berth,
    tenant: &Tenant,
    url: &str,
) -> Result<String, Failure> {
    let token = grant::signed(berth, issuer, &tenant.user, LIFETIME).await?;
    let account = tenant.account.id;
    folder.write_private(FILE, format!("BERTH_URL={url}\nBERTH_TOKEN={token}\nBERTH_ACCOUNT_ID={account}\n{EXPORT}\n").as_bytes())?;
    let region = berth.settings.regions.first().map_or("local", |r| r.name.as_str());
    Ok(format!(
        r#"Type this in another shell: who you are, a first workspace, and how its run goes.

  . {file}
  curl -sS -H "Authorization: Bearer $BERTH_TOKEN" "$BERTH_URL/v1/me"
  curl -sS -H "Authorization: Bearer $BERTH_TOKEN" -H "Content-Type: application/json" "$BERTH_URL/v1/workspaces" -d '{{"account_id": "'"$BERTH_ACCOUNT_ID"'", "name": "My first workspace", "region": "{region}"}}'
  curl -sS -H "Authorization: Bearer $BERTH_TOKEN" "$BERTH_URL/v1/provisioning-runs?limit=1"

Or with the command line, which shows the steps as they go:

  {berth} workspaces create "My next workspace" --wait

"#,
        berth = quoted(&std::env::current_exe().unwrap_or_else(|_| "berth".into())),
        file = quoted(&shown.join(FILE)),
    ))
}

/// The path as a POSIX shell reads it; `.` looks for a name without a slash in PATH.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let text = if text.contains('/') { text } else { format!("./{text}") };
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+,:@".contains(c));
    if plain && !text.starts_with('-') { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(quoted(Path::new("berth-data/dev.env")), "berth-data/dev.env");
        assert_eq!(quoted(Path::new("dev.env")), "./dev.env");
        assert_eq!(quoted(Path::new("/a b/it's/dev.env")), r"'/a b/it'\''s/dev.env'");
        assert_eq!(quoted(Path::new("$HOME/dev.env")), "'$HOME/dev.env'");
    }
}
