use std::{ffi::OsString, io::Write as _, os::unix::ffi::OsStringExt as _};

use super::{
    super::checks::{COMPRESSION, HEADERS, PROPAGATORS, RATIO, RESOURCE, SAMPLER},
    *,
};

const STANDARD: Collector = Collector::Standard { protocol: None };

/// Returns the settings, and the rejected variables.
fn read(collector: Collector, variables: &[(&str, &str)]) -> (Result<Settings, Disabled>, Vec<String>) {
    let mut variables: Variables = variables.iter().copied().collect();
    let settings = Settings::read(collector, &mut variables);
    (settings, variables.rejected())
}

fn at(protocol: Protocol, url: &str) -> Collector {
    Collector::At { protocol, url: url.to_owned() }
}

#[test]
fn most_specific_setting_decides_the_destination() {
    let check = |collector: Collector, variables: &[(&str, &str)], protocol, url: &str, setting| {
        let (settings, rejected) = read(collector, variables);
        let expected = Destination { protocol, url: url.to_owned(), setting };
        assert_eq!(settings.expect("usable").destination, expected, "{variables:?}");
        assert_eq!(rejected, [""; 0], "{variables:?}");
    };
    let (grpc, http) = (Protocol::Grpc, Protocol::Http);
    let (base, own) = ((ENDPOINT, "http://a:1"), (TRACES_ENDPOINT, "http://b:2/own"));
    let (by_http, by_grpc) = ((PROTOCOLS[1], "HTTP/protobuf"), (PROTOCOLS[0], "grpc"));
    check(STANDARD, &[], grpc, "http://localhost:4317", ENDPOINT);
    check(STANDARD, &[by_http], http, "http://localhost:4318/v1/traces", ENDPOINT);
    check(STANDARD, &[base], grpc, "http://a:1", ENDPOINT);
    check(STANDARD, &[base, by_http], http, "http://a:1/v1/traces", ENDPOINT);
    check(STANDARD, &[(ENDPOINT, "http://a:1/x/"), by_http], http, "http://a:1/x/v1/traces", ENDPOINT);
    check(STANDARD, &[(ENDPOINT, "http://a:1/x?k=v"), by_http], http, "http://a:1/x/v1/traces?k=v", ENDPOINT);
    check(STANDARD, &[base, by_http, by_grpc], grpc, "http://a:1", ENDPOINT);
    check(STANDARD, &[base, own, by_http], http, "http://b:2/own", TRACES_ENDPOINT);
    check(STANDARD, &[(TRACES_ENDPOINT, ""), base], grpc, "http://a:1", ENDPOINT);
    let fixed = Collector::Standard { protocol: Some(grpc) };
    check(fixed, &[base, by_http], grpc, "http://a:1", ENDPOINT);
    // A gRPC address without a scheme uses TLS unless a variable disables it.
    let insecure = [(ENDPOINT, "a:1"), (INSECURE[1], "True")];
    check(STANDARD, &insecure, grpc, "http://a:1", ENDPOINT);
    // The platform's settings take precedence.
    let all = [base, own, by_http];
    check(at(http, "http://c:3/p"), &[base, own, by_grpc], http, "http://c:3/p", "tracing.collector");
    check(at(grpc, "http://c:3"), &all[..2], grpc, "http://c:3", "tracing.endpoint");
}

#[test]
fn invalid_url_is_reported_without_its_secrets() {
    let check = |variables: &[(&str, &str)], expected: &str| {
        let (settings, rejected) = read(STANDARD, variables);
        assert_eq!(settings.err(), Some(Disabled::Unusable), "{variables:?}");
        assert_eq!(rejected, [expected]);
    };
    check(
        &[(ENDPOINT, "ftp://a:1?key=hidden")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://a:1 is not a URL with http:// or https://; use for example \
         http://localhost:4317: traces are disabled",
    );
    check(
        &[(TRACES_ENDPOINT, "a:1"), (PROTOCOLS[0], "http/protobuf")],
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=a:1 is not a URL with http:// or https://; use for example \
         http://localhost:4318/v1/traces: traces are disabled",
    );
    check(
        &[(ENDPOINT, "http://user:hidden@a:1")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=***@a:1 contains a user; set credentials as a header, in OTEL_EXPORTER_OTLP_HEADERS; \
         use for example http://localhost:4317: traces are disabled",
    );
    check(
        &[(ENDPOINT, "http://user:hid?den@a:1")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=*** has an invalid port; use for example http://localhost:4317: traces are disabled",
    );
    check(
        &[(ENDPOINT, "http://a:99999")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://a:99999 has an invalid port; use for example \
         http://localhost:4317: traces are disabled",
    );
    check(
        &[(ENDPOINT, "http://a b:1")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://a b:1 is not a URL; use for example http://localhost:4317: traces are disabled",
    );
}

#[test]
fn variables_can_disable_traces() {
    let disabled = |variables: &[(&str, &str)]| read(STANDARD, variables).0.err();
    assert_eq!(disabled(&[(DISABLED, "TRUE")]), Some(Disabled::By(DISABLED)));
    assert_eq!(disabled(&[(EXPORTER, "none")]), Some(Disabled::By(EXPORTER)));
    assert_eq!(disabled(&[(DISABLED, "false"), (EXPORTER, "otlp")]), None);
    assert_eq!(disabled(&[(DISABLED, "1")]), None);
}

#[test]
fn unusable_value_is_reported_and_replaced() {
    let check = |name, value, expected: &str| {
        let (settings, rejected) = read(STANDARD, &[(name, value)]);
        assert!(settings.is_ok(), "{name}={value}");
        assert_eq!(rejected, [format!("{name}={expected}")]);
    };
    check(DISABLED, "1", "1 is neither true nor false: false is used");
    check(EXPORTER, "zipkin", "zipkin is neither otlp nor none: otlp is used");
    check(
        PROTOCOLS[1],
        "thrift",
        "thrift is not a protocol (grpc, http/protobuf): it is ignored; the default is grpc",
    );
    check(
        PROTOCOLS[0],
        "http/json",
        "http/json is not supported (grpc, http/protobuf): http/protobuf is used",
    );
    check(
        SAMPLER,
        "often",
        "often is not a supported sampler (always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off, parentbased_traceidratio): parentbased_always_on is used",
    );
    check(COMPRESSION[1], "gzip", "gzip is not supported; use none: spans are sent uncompressed");
    check(PROPAGATORS, "b3", "b3 is not supported; use tracecontext,baggage: tracecontext,baggage is used");
    check(RESOURCE, "a=1,b", "a=1,b is not KEY=VALUE in entry 2: this attribute is ignored");
    check("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "10s is not a number from 1 to 600000: 10000 is used");
    // The SDK would panic.
    check("OTEL_BSP_MAX_QUEUE_SIZE", "0", "0 is not a number from 1 to 1000000: 2048 is used");
    check("OTEL_BSP_SCHEDULE_DELAY", "0", "0 is not a number from 1 to 600000: 5000 is used");
    check("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "-1 is not a number from 0 to 4294967295: 128 is used");
    check("OTEL_ATTRIBUTE_COUNT_LIMIT", "5", "5 is not supported: it is ignored");
}

#[test]
fn ratio_sampler_requires_a_ratio() {
    let ratio = |ratio: &str| read(STANDARD, &[(SAMPLER, "traceidratio"), (RATIO, ratio)]).1;
    assert_eq!(ratio("0.25"), [""; 0]);
    let problem = "is not a number from 0 to 1, as traceidratio requires";
    assert_eq!(ratio(""), [format!("{RATIO}=*** {problem}: 1 is used, which samples every trace")]);
    assert_eq!(ratio("half"), [format!("{RATIO}=half {problem}: 1 is used, which samples every trace")]);
    assert_eq!(ratio("2"), [format!("{RATIO}=2 {problem}: the nearest number in this range is used")]);
}

#[test]
fn invalid_header_is_reported_by_its_position() {
    let headers = |headers: &str| read(STANDARD, &[(HEADERS[1], headers)]).1;
    assert_eq!(headers("authorization=Basic%20hidden, x-tenant = a,"), [""; 0]);
    let wrong = |position| {
        format!("{}=*** is not NAME=VALUE in entry {position}: this header is not sent", HEADERS[1])
    };
    assert_eq!(headers("a=1,hidden"), [wrong(2)]);
    assert_eq!(headers("hidden hidden=1,b="), [wrong(1), wrong(2)]);
}

#[test]
fn shortest_timeout_applies_to_a_batch() {
    let timeout =
        |variables: &[(&str, &str)]| read(STANDARD, variables).0.expect("usable").timeout.as_millis();
    let (general, own) =
        (("OTEL_EXPORTER_OTLP_TIMEOUT", "700"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "900"));
    assert_eq!(timeout(&[]), 10_000);
    assert_eq!(timeout(&[general]), 700);
    assert_eq!(timeout(&[general, own]), 900);
    assert_eq!(timeout(&[general, own, ("OTEL_BSP_EXPORT_TIMEOUT", "800")]), 800);
}

#[test]
fn value_that_is_not_utf8_is_ignored() {
    let mut variables: Variables = [(SAMPLER, OsString::from_vec(vec![0xff]))].into_iter().collect();
    assert!(Settings::read(STANDARD, &mut variables).is_ok());
    assert_eq!(variables.rejected(), [format!("{SAMPLER}=*** is not UTF-8: it is ignored")]);
}

#[test]
fn unusable_tls_file_is_reported() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
        path.to_str().expect("Unicode").to_owned()
    };
    let certificate = file("certificate.pem", &certified.cert.pem());
    let key = file("key.pem", &certified.signing_key.serialize_pem());
    let other = file("other.pem", &other.signing_key.serialize_pem());
    let empty = file("empty.pem", "");
    let (authorities, own) = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
    let own_key = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    let encrypted = || at(Protocol::Grpc, "https://a:1");
    let rejected = |variables: &[(&str, &str)]| {
        let (settings, rejected) = read(encrypted(), variables);
        assert_eq!(settings.err(), Some(Disabled::Unusable), "{variables:?}");
        rejected
    };
    assert_eq!(
        rejected(&[(authorities, "/nowhere")]),
        [format!(
            "{authorities}=/nowhere cannot be read: No such file or directory (os error 2): traces are disabled"
        )]
    );
    assert_eq!(
        rejected(&[(authorities, &empty)]),
        [format!("{authorities}={empty} contains no certificate in PEM: traces are disabled")]
    );
    let known = (authorities, &*certificate);
    assert_eq!(
        rejected(&[known, (own, &certificate)]),
        [format!("{own}={certificate} has no effect without {own_key}: traces are disabled")]
    );
    let mismatch = rejected(&[known, (own, &certificate), (own_key, &other)]);
    assert!(mismatch[0].starts_with(&format!("{own_key}={other} is not the key of {certificate}: ")));
    let (settings, rejected) = read(encrypted(), &[known, (own, &certificate), (own_key, &key)]);
    assert!(settings.expect("usable").tls.is_some());
    assert_eq!(rejected, [""; 0]);
    let (settings, _) = read(STANDARD, &[(ENDPOINT, "HTTPS://a:1"), known]);
    assert!(settings.expect("usable").tls.is_some());
    // A collector without TLS requires no files.
    let (settings, rejected) = read(at(Protocol::Http, "http://a:1"), &[(authorities, "/nowhere")]);
    assert!(settings.expect("usable").tls.is_none());
    assert_eq!(rejected, [""; 0]);
}
