//! A software HSM with a token in a folder of its own. Its library finds the folder by the
//! environment, which a running process cannot change soundly: so the test binary starts itself
//! again, for the one test, with the environment set.

use std::path::{Path, PathBuf};
use std::process::Command;

use signet::base::secret::Secret;
use signet::domain::keys::Pkcs11Config;

use super::process::program;
use super::reaper;

/// The label of the token.
pub const LABEL: &str = "signet tests";
/// The PIN of its normal user.
pub const PIN: &str = "483920";

const FOLDER: &str = "SIGNET_TEST_SOFTHSM";

/// A module with one token.
pub struct SoftHsm {
    folder: PathBuf,
}

impl SoftHsm {
    /// Runs `body` in a process that has a token; `test` is the full name of the calling test.
    pub fn run(test: &str, body: fn(&Self)) {
        if let Some(folder) = std::env::var_os(FOLDER) {
            return body(&Self { folder: folder.into() });
        }
        let folder =
            tempfile::Builder::new().prefix("signet-softhsm-").tempdir().expect("a folder");
        reaper::remove_at_exit(folder.path());
        let settings = initialise(folder.path());
        // The harness knows tests by their path without the crate.
        let (_, name) = test.split_once("::").expect("a path");
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env("SOFTHSM2_CONF", settings)
            .env(FOLDER, folder.path())
            .output()
            .expect("the test starts again");
        let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned());
        assert!(output.status.success(), "{}\n{}", text[0], text[1]);
        assert!(text[0].contains("1 passed"), "no test has the name {name}: {}", text[0]);
    }

    /// How Signet reaches the token.
    pub fn config(&self) -> Pkcs11Config {
        Pkcs11Config { module: module(), token_label: LABEL.into(), pin: Secret::new(PIN.into()) }
    }

    /// The environment by which a process finds the token, and Signet the process' library.
    pub fn environment(&self) -> [(String, String); 4] {
        let config = self.config();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = std::env::var("SOFTHSM2_CONF").expect("set by the parent");
        std::fs::write(self.folder.join("pin"), PIN).expect("the PIN is written");
        [
            set("SOFTHSM2_CONF", &settings),
            set("SIGNET__KEYS__PKCS11__MODULE", &config.module.to_string_lossy()),
            set("SIGNET__KEYS__PKCS11__TOKEN_LABEL", LABEL),
            set("SIGNET__KEYS__PKCS11__PIN_FILE", &self.folder.join("pin").to_string_lossy()),
        ]
    }

    /// Where the token keeps everything.
    pub fn tokens(&self) -> PathBuf {
        tokens(&self.folder)
    }
}

fn tokens(folder: &Path) -> PathBuf {
    folder.join("tokens")
}

/// Makes the token, and returns the settings by which the library finds it.
fn initialise(folder: &Path) -> PathBuf {
    std::fs::create_dir(tokens(folder)).expect("a folder");
    let settings = folder.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens(folder).display()
    );
    std::fs::write(&settings, text).expect("the settings are written");
    let output = Command::new(program("softhsm2-util", Vec::new()))
        .args(["--init-token", "--free", "--label", LABEL, "--so-pin", "205817", "--pin", PIN])
        .env("SOFTHSM2_CONF", &settings)
        .output()
        .expect("softhsm2-util runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    settings
}

/// The library, where the distributions put it.
fn module() -> PathBuf {
    let folders = [
        "/usr/lib/softhsm",
        "/usr/lib64/softhsm",
        "/usr/lib64/pkcs11",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib/softhsm",
        "/opt/homebrew/lib/softhsm",
    ];
    program("libsofthsm2.so", folders.map(PathBuf::from).to_vec())
}

/// Runs functions of a `&SoftHsm`, each as one test in a process of its own.
macro_rules! on_a_token {
    ($($name:ident),+ $(,)?) => {
        mod on_a_token {
            $(#[test]
            fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                crate::support::softhsm::SoftHsm::run(test, super::$name);
            })+
        }
    };
}
pub(crate) use on_a_token;
