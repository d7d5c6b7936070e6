//! Files that cannot be used: each is reported at the start.

use super::*;

#[test]
fn unusable_secret_file_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.into_os_string().into_string().expect("Unicode")
    };
    let rows = [
        ("/nowhere/secret".to_owned(), "cannot be read: No such file or directory"),
        (directory.path().display().to_string(), "cannot be read: Is a directory"),
        (String::new(), "is not the name of a file"),
        (path("empty", b""), "is an empty file"),
        (path("break", b"\r\n"), "is an empty file"),
        (path("bytes", b"a\xff"), "is a file whose content is not UTF-8"),
        (path("large", &vec![b'a'; (64 << 10) + 1]), "is larger than 65536 bytes"),
        ("/dev/zero".to_owned(), "is larger than 65536 bytes"),
    ];
    for (path, problem) in rows {
        for variable in ["SSE_DEBUG_TOKEN_FILE", "OCIS_JWT_SECRET_FILE"] {
            let environment = [("SSE_LOG_LEVEL", "loud"), (variable, path.as_str())].into_iter();
            let environment = match variable {
                "OCIS_JWT_SECRET_FILE" => environment.collect(),
                _ => environment.chain([SECRET]).collect(),
            };
            let found = errors_of("", &environment);
            let named = format!("{variable}: {path:?} {problem}");
            assert!(found.len() == 2 && found.iter().any(|found| found.starts_with(&named)), "{found:?}");
        }
    }
}

#[test]
fn endless_file_is_reported() {
    for path in ["/dev/zero", "/dev/urandom"] {
        let read = Configuration::read(Some(path.into()), &[SECRET].into());
        let named = format!("{path}: is larger than 1048576 bytes");
        assert_eq!(read.expect_err("an error").0.first().map(ToString::to_string), Some(named));
    }
}

#[test]
fn unusable_certificate_or_key_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let with_mark = format!("\u{feff}{certificate}");
    let utf_16: Vec<_> = with_mark.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let empty_section = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let proc_type = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let of_both: &[(&str, &[u8], &str)] = &[
        ("empty", b"", "is an empty file"),
        ("der", made.cert.der(), "is in DER, not in PEM: `openssl x509 -inform der` converts"),
        ("utf-16", &utf_16, "is in UTF-16, but PEM must be in UTF-8"),
        ("mark", with_mark.as_bytes(), "begins with a byte order mark"),
        ("text", b"hidden", "has no"),
        ("cut-off", &certificate.as_bytes()[..200], "is not valid PEM"),
        ("request", request.as_bytes(), "has no"),
    ];
    let of_certificates: &[(&str, &[u8], &str)] = &[
        ("key", key.as_bytes(), "has no certificate (-----BEGIN CERTIFICATE-----), but a private key"),
        ("text", b"hidden", "has no certificate (-----BEGIN CERTIFICATE-----)"),
        ("broken", empty_section.as_bytes(), "has a certificate that cannot be read"),
    ];
    let of_keys: &[(&str, &[u8], &str)] = &[
        (
            "certificate",
            certificate.as_bytes(),
            "has no private key (-----BEGIN PRIVATE KEY-----), but a certificate",
        ),
        (
            "encrypted",
            encrypted.as_bytes(),
            "has an encrypted private key; a key without a passphrase is needed",
        ),
        (
            "proc-type",
            proc_type.as_bytes(),
            "has an encrypted private key; a key without a passphrase is needed",
        ),
    ];
    let path = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.into_os_string().into_string().expect("Unicode")
    };
    let right = [path("right-certificate", certificate.as_bytes()), path("right-key", key.as_bytes())];
    let check = |variable: &str, file: &str, problem: &str| {
        let settings = [
            ("OCIS_EVENTS_ENABLE_TLS", "true"),
            ("OCIS_HTTP_TLS_ENABLED", "true"),
            ("OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", &right[0]),
            ("OCIS_HTTP_TLS_CERTIFICATE", &right[0]),
            ("OCIS_HTTP_TLS_KEY", &right[1]),
        ];
        assert!(Configuration::read(None, &[SECRET].into_iter().chain(settings).collect()).is_ok());
        let environment = [SECRET].into_iter().chain(settings).chain([(variable, file)]).collect();
        let found = errors_of("", &environment);
        let named = format!("{variable}: {file:?} {problem}");
        assert!(found.len() == 1 && found[0].starts_with(&named), "{named}: {found:?}");
        assert!(
            found[0].contains("; use for example /etc/ocis/") && !found[0].contains("hidden"),
            "{found:?}"
        );
    };
    let certificates = ["OCIS_EVENTS_TLS_ROOT_CA_CERTIFICATE", "OCIS_HTTP_TLS_CERTIFICATE"];
    for (variables, rows) in [
        (&[certificates[0], certificates[1], "OCIS_HTTP_TLS_KEY"][..], of_both),
        (&certificates, of_certificates),
        (&["OCIS_HTTP_TLS_KEY"], of_keys),
    ] {
        for variable in variables {
            for (name, content, problem) in rows {
                check(variable, &path(name, content), problem);
            }
            check(variable, "/nowhere/file.pem", "cannot be read: No such file or directory");
            check(variable, directory.path().to_str().expect("Unicode"), "cannot be read: Is a directory");
            check(
                variable,
                "/dev/zero",
                "is not a regular file, which is needed because it is read more than once",
            );
            check(variable, &path("large", &vec![b'a'; (4 << 20) + 1]), "is larger than 4194304 bytes");
        }
    }
}

#[test]
fn key_of_other_certificate_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).into_os_string().into_string().expect("Unicode");
    for name in ["ours", "other"] {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        std::fs::write(path(&format!("{name}.crt")), made.cert.pem()).expect("written");
        std::fs::write(path(&format!("{name}.key")), made.signing_key.serialize_pem()).expect("written");
    }
    let environment = [
        SECRET,
        ("OCIS_HTTP_TLS_ENABLED", "true"),
        ("OCIS_HTTP_TLS_CERTIFICATE", &path("ours.crt")),
        ("OCIS_HTTP_TLS_KEY", &path("other.key")),
    ];
    let [found] = &errors("", environment)[..] else { panic!("one error") };
    let named = format!("OCIS_HTTP_TLS_KEY: {:?} is not the key of the first certificate", path("other.key"));
    assert!(found.starts_with(&named), "{found}");
}
