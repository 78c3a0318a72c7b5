//! Signing keys on a token, against SoftHSM: made there and kept there, signatures that anyone
//! verifies, errors by name, and a token that was lost and comes back.

use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism;
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use signet::base::secret::Secret;
use signet::domain::keys::Algorithm;
use signet::domain::keys::pkcs11::{Token, TokenError, TokenKey};

use crate::support::process::poll;
use crate::support::softhsm::{LABEL, PIN, SoftHsm, on_a_token};

on_a_token! {
    signatures_verify,
    private_keys_stay_on_the_token,
    what_is_wrong_is_told_by_name,
    a_removed_key_is_gone,
    many_threads_sign_at_once,
    a_lost_login_is_renewed,
    a_module_that_was_closed_is_opened_again,
    a_token_that_was_away_comes_back,
    a_refused_pin_is_not_tried_again,
}

fn verifies(key: &TokenKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let by: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Es256 | Algorithm::EdDsa => &ECDSA_P256_SHA256_FIXED,
    };
    UnparsedPublicKey::new(by, &key.spki).verify(message, signature).is_ok()
}

/// The same module, as another part of this process would use it.
struct Beside {
    module: Pkcs11,
}

impl Beside {
    fn of(hsm: &SoftHsm) -> Self {
        Self { module: Pkcs11::new(hsm.config().module).expect("the module loads") }
    }

    /// A session, logged in by whoever was first.
    fn session(&self) -> Session {
        let slots = self.module.get_slots_with_token().expect("slots");
        let slot = slots
            .into_iter()
            .find(|slot| self.module.get_token_info(*slot).expect("a token").label() == LABEL)
            .expect("the token is there");
        self.module.open_rw_session(slot).expect("a session")
    }
}

fn private_key(session: &Session, id: &str) -> ObjectHandle {
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
    let has_id = |object: &ObjectHandle| {
        let attributes = session.get_attributes(*object, &[AttributeType::Id]).expect("its id");
        let [Attribute::Id(bytes)] = attributes.as_slice() else { return false };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == id
    };
    session.find_objects(&wanted).expect("objects").into_iter().find(has_id).expect("the key")
}

fn signatures_verify(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let rsa = token.generate_rsa(2048).unwrap();
    let p256 = token.generate_p256().unwrap();
    assert_ne!(rsa.id, p256.id);
    let message = b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0";
    let signs = [
        (&rsa, Algorithm::Rs256, 256),
        (&rsa, Algorithm::Ps256, 256),
        (&p256, Algorithm::Es256, 64),
    ];
    for (key, algorithm, length) in signs {
        let signature = key.sign(algorithm, message).unwrap();
        assert_eq!(signature.len(), length, "{algorithm:?}");
        assert!(verifies(key, algorithm, message, &signature), "{algorithm:?}");
        assert!(!verifies(key, algorithm, b"another message", &signature), "{algorithm:?}");

        let found = Token::open(&hsm.config()).unwrap().find(&key.id).unwrap();
        assert_eq!((&found.spki, found.algorithms), (&key.spki, key.algorithms));
        let signature = found.sign(algorithm, message).unwrap();
        assert!(verifies(key, algorithm, message, &signature), "{algorithm:?}");
    }
    assert!(matches!(rsa.sign(Algorithm::Es256, message), Err(TokenError::Unusable(..))));
    assert!(matches!(p256.sign(Algorithm::Ps256, message), Err(TokenError::Unusable(..))));
    assert!(matches!(token.generate_rsa(1024), Err(TokenError::Size(1024))));
}

fn private_keys_stay_on_the_token(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let keys = [
        (token.generate_rsa(2048).unwrap(), AttributeType::PrivateExponent),
        (token.generate_p256().unwrap(), AttributeType::Value),
    ];
    let session = Beside::of(hsm).session();
    let wrapping_key = session
        .generate_key(
            &mechanism::Mechanism::AesKeyGen,
            &[Attribute::Wrap(true), Attribute::ValueLen(32.into())],
        )
        .expect("a key to wrap with");
    for (key, secret) in keys {
        let private = private_key(&session, &key.id);
        let held = session.get_attribute_info(private, &[secret]).expect("an answer");
        assert_eq!(format!("{held:?}"), format!("{:?}", [AttributeInfo::Sensitive]));
        assert!(session.get_attributes(private, &[secret]).expect("an answer").is_empty());
        let wrapped = session.wrap_key(&mechanism::Mechanism::AesKeyWrapPad, wrapping_key, private);
        assert!(matches!(wrapped, Err(Error::Pkcs11(RvError::KeyUnextractable, _))), "{wrapped:?}");

        let holds = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Sign(true),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Label(format!("signet-{}", &key.id[..8]).into_bytes()),
        ];
        for attribute in holds {
            let kind = attribute.attribute_type();
            assert_eq!(session.get_attributes(private, &[kind]).expect("it"), [attribute]);
        }
    }
}

fn what_is_wrong_is_told_by_name(hsm: &SoftHsm) {
    let good = hsm.config();

    let mut config = good.clone();
    config.module = "/nowhere/module.so".into();
    let error = Token::open(&config).unwrap_err();
    assert!(error.to_string().contains("/nowhere/module.so"), "{error}");
    assert!(matches!(error, TokenError::Module(..)), "{error:?}");
    config.module = hsm.tokens().with_file_name("softhsm2.conf");
    assert!(matches!(Token::open(&config), Err(TokenError::Module(..))), "no library");

    let mut config = good.clone();
    config.token_label = "another".into();
    let error = Token::open(&config).unwrap_err();
    assert!(matches!(&error, TokenError::NoToken(label) if label == "another"), "{error:?}");

    for wrong in ["97 53 10", ""] {
        let mut config = good.clone();
        config.pin = Secret::new(wrong.into());
        let error = Token::open(&config).unwrap_err();
        assert!(matches!(&error, TokenError::PinRefused(label) if label == LABEL), "{error:?}");
        assert!(!format!("{error} {error:?} {config:?}").contains("97 53 10"));
    }

    let token = Token::open(&good).unwrap();
    for unknown in ["00112233445566778899aabbccddeeff", "not hex", "", &"ab".repeat(1000)] {
        let error = token.find(unknown).unwrap_err();
        assert!(matches!(&error, TokenError::NoKey(id) if unknown.starts_with(id)), "{error:?}");
    }
}

fn a_removed_key_is_gone(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let (key, other) = (token.generate_p256().unwrap(), token.generate_p256().unwrap());
    token.remove(&key.id).unwrap();
    assert!(matches!(token.find(&key.id), Err(TokenError::NoKey(_))));
    assert!(matches!(token.remove(&key.id), Err(TokenError::NoKey(_))));
    assert!(matches!(key.sign(Algorithm::Es256, b"m"), Err(TokenError::NoKey(_))));
    other.sign(Algorithm::Es256, b"m").unwrap();
    let session = Beside::of(hsm).session();
    assert_eq!(session.find_objects(&[]).expect("objects").len(), 2, "the other pair is left");
}

/// Signs on several threads at once; every signature has to verify.
fn sign_on(threads: usize, key: &TokenKey, algorithm: Algorithm, each: usize) {
    let start = Barrier::new(threads);
    let sign = &|number: usize| {
        start.wait();
        for round in 0..each {
            let message = format!("{number}-{round}");
            let signature = key.sign(algorithm, message.as_bytes()).unwrap();
            assert!(verifies(key, algorithm, message.as_bytes(), &signature), "{message}");
        }
    };
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || sign(number));
        }
    });
}

fn many_threads_sign_at_once(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let rsa = token.generate_rsa(2048).unwrap();
    sign_on(8, &rsa, Algorithm::Rs256, 50);
    sign_on(8, &rsa, Algorithm::Ps256, 50);
    let key = token.generate_p256().unwrap();
    sign_on(8, &key, Algorithm::Es256, 50);
    // More than there are sessions.
    sign_on(24, &key, Algorithm::Es256, 10);
}

fn a_lost_login_is_renewed(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let key = token.generate_p256().unwrap();
    let beside = Beside::of(hsm);
    for _ in 0..5 {
        sign_on(8, &key, Algorithm::Es256, 5);
        // One logout is the logout of all sessions.
        beside.session().logout().expect("logged out");
        let session = beside.session();
        let private = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        assert!(session.find_objects(&private).expect("objects").is_empty(), "not logged out");
        drop(session);
        sign_on(8, &key, Algorithm::Es256, 5);
    }
}

fn a_module_that_was_closed_is_opened_again(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let key = token.generate_p256().unwrap();
    for reopened in [false, true] {
        sign_on(8, &key, Algorithm::Es256, 5);
        let module = Beside::of(hsm).module;
        // All sessions, of whomever, end with it.
        module.clone().finalize().expect("closed");
        if reopened {
            let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
            module.initialize(arguments).expect("opened");
        }
        sign_on(8, &key, Algorithm::Es256, 5);
    }
}

fn a_token_that_was_away_comes_back(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let key = token.generate_p256().unwrap();
    let away: PathBuf = hsm.tokens().with_file_name("away");
    for _ in 0..2 {
        fs::rename(hsm.tokens(), &away).expect("moved");
        fs::create_dir(hsm.tokens()).expect("an empty folder");
        let errors = [(); 3].map(|()| key.sign(Algorithm::Es256, b"m").unwrap_err());
        assert!(matches!(errors[0], TokenError::NoToken(_)), "{errors:?}");
        assert!(matches!(errors[2], TokenError::Unavailable), "it is left alone: {errors:?}");

        fs::remove_dir(hsm.tokens()).expect("removed");
        fs::rename(&away, hsm.tokens()).expect("moved back");
        let back = poll(Duration::from_secs(10), || key.sign(Algorithm::Es256, b"m").ok());
        assert!(verifies(&key, Algorithm::Es256, b"m", &back.expect("it comes back")));
        sign_on(8, &key, Algorithm::Es256, 5);
    }
}

fn a_refused_pin_is_not_tried_again(hsm: &SoftHsm) {
    let token = Token::open(&hsm.config()).unwrap();
    let key = token.generate_p256().unwrap();
    let (pin, other) = (AuthPin::new(PIN.into()), AuthPin::new("112358".into()));
    let beside = Beside::of(hsm);
    let session = beside.session();
    session.set_pin(&pin, &other).expect("another PIN");
    session.logout().expect("logged out");
    assert!(matches!(key.sign(Algorithm::Es256, b"m"), Err(TokenError::PinRefused(_))));

    // A second try would find the PIN good again.
    session.login(UserType::User, Some(&other)).expect("logged in");
    session.set_pin(&other, &pin).expect("the first PIN again");
    session.logout().expect("logged out");
    assert!(matches!(key.sign(Algorithm::Es256, b"m"), Err(TokenError::PinRefused(_))));
    drop(session);
    Token::open(&hsm.config()).unwrap().find(&key.id).unwrap();
}
