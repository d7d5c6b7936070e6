use std::{ffi::OsString, io::Write as _, os::unix::ffi::OsStringExt as _};

use super::{
    super::checks::{COMPRESSION, HEADERS, PROPAGATORS, RATIO, RESOURCE, SAMPLER},
    *,
};

const STANDARD: Collector = Collector::Standard { protocol: None };

/// What `variables` come to, and what of them was rejected.
fn read(collector: Collector, variables: &[(&str, &str)]) -> (Result<Settings, Off>, Vec<String>) {
    let mut variables: Variables = variables.iter().copied().collect();
    let settings = Settings::read(collector, &mut variables);
    (settings, variables.rejected())
}

fn at(protocol: Protocol, url: &str) -> Collector {
    Collector::At { protocol, url: url.to_owned() }
}

#[test]
fn destination_is_that_of_the_most_specific_setting() {
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
    check(STANDARD, &[base, by_http, by_grpc], grpc, "http://a:1", ENDPOINT);
    check(STANDARD, &[base, own, by_http], http, "http://b:2/own", TRACES_ENDPOINT);
    check(STANDARD, &[(TRACES_ENDPOINT, ""), base], grpc, "http://a:1", ENDPOINT);
    let decided = Collector::Standard { protocol: Some(grpc) };
    check(decided, &[base, by_http], grpc, "http://a:1", ENDPOINT);
    // Without a scheme gRPC is encrypted, unless a variable says otherwise.
    let insecure = [(ENDPOINT, "a:1"), (INSECURE[1], "True")];
    check(STANDARD, &insecure, grpc, "http://a:1", ENDPOINT);
    // The platform's settings count first.
    let all = [base, own, by_http];
    check(at(http, "http://c:3/p"), &[base, own, by_grpc], http, "http://c:3/p", "tracing.collector");
    check(at(grpc, "http://c:3"), &all[..2], grpc, "http://c:3", "tracing.endpoint");
}

#[test]
fn address_that_cannot_be_used_is_named_without_its_secrets() {
    let check = |variables: &[(&str, &str)], expected: &str| {
        let (settings, rejected) = read(STANDARD, variables);
        assert_eq!(settings.err(), Some(Off::Unusable), "{variables:?}");
        assert_eq!(rejected, [expected]);
    };
    check(
        &[(ENDPOINT, "ftp://a:1?key=hidden")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://a:1 is no URL that begins with http:// or https://; right would be: \
         http://localhost:4317: no traces are sent",
    );
    check(
        &[(TRACES_ENDPOINT, "a:1"), (PROTOCOLS[0], "http/protobuf")],
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=a:1 is no URL that begins with http:// or https://; right would be: \
         http://localhost:4318/v1/traces: no traces are sent",
    );
    check(
        &[(ENDPOINT, "http://user:hidden@a:1")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=***@a:1 has a user; credentials are a header, in OTEL_EXPORTER_OTLP_HEADERS; \
         right would be: http://localhost:4317: no traces are sent",
    );
    check(
        &[(ENDPOINT, "http://a:99999")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://a:99999 has a port that is no number up to 65535; right would be: \
         http://localhost:4317: no traces are sent",
    );
    check(
        &[(ENDPOINT, "http://a b:1")],
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://a b:1 is no URL; right would be: http://localhost:4317: no traces are sent",
    );
}

#[test]
fn variable_can_switch_traces_off() {
    let off = |variables: &[(&str, &str)]| read(STANDARD, variables).0.err();
    assert_eq!(off(&[(DISABLED, "TRUE")]), Some(Off::By(DISABLED)));
    assert_eq!(off(&[(EXPORTER, "none")]), Some(Off::By(EXPORTER)));
    assert_eq!(off(&[(DISABLED, "false"), (EXPORTER, "otlp")]), None);
    assert_eq!(off(&[(DISABLED, "1")]), None);
}

#[test]
fn value_that_cannot_be_used_is_named_and_replaced() {
    let check = |name, value, expected: &str| {
        let (settings, rejected) = read(STANDARD, &[(name, value)]);
        assert!(settings.is_ok(), "{name}={value}");
        assert_eq!(rejected, [format!("{name}={expected}")]);
    };
    check(DISABLED, "1", "1 is neither true nor false: it counts as false");
    check(EXPORTER, "zipkin", "zipkin is neither otlp nor none: otlp is used");
    check(
        PROTOCOLS[1],
        "thrift",
        "thrift is no protocol (grpc, http/protobuf): it counts as not set; the default is grpc",
    );
    check(
        PROTOCOLS[0],
        "http/json",
        "http/json is not supported (grpc, http/protobuf): http/protobuf is used",
    );
    check(
        SAMPLER,
        "often",
        "often is no sampler that is known (always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off, parentbased_traceidratio): parentbased_always_on is used",
    );
    check(COMPRESSION[1], "gzip", "gzip is not supported; right would be: none: spans are sent uncompressed");
    check(
        PROPAGATORS,
        "b3",
        "b3 is not supported: what is understood is tracecontext,baggage: tracecontext,baggage is used",
    );
    check(RESOURCE, "a=1,b", "a=1,b has something else than KEY=VALUE as entry 2: that attribute is missing");
    check("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "10s is no number from 1 to 600000: 10000 is used");
    // The SDK would panic.
    check("OTEL_BSP_MAX_QUEUE_SIZE", "0", "0 is no number from 1 to 1000000: 2048 is used");
    check("OTEL_BSP_SCHEDULE_DELAY", "0", "0 is no number from 1 to 600000: 5000 is used");
    check("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "-1 is no number from 0 to 4294967295: 128 is used");
    check("OTEL_ATTRIBUTE_COUNT_LIMIT", "5", "5 is not supported: it has no effect");
}

#[test]
fn sampler_by_ratio_needs_one() {
    let ratio = |ratio: &str| read(STANDARD, &[(SAMPLER, "traceidratio"), (RATIO, ratio)]).1;
    assert_eq!(ratio("0.25"), [""; 0]);
    let problem = "is no number from 0 to 1, which traceidratio needs";
    assert_eq!(ratio(""), [format!("{RATIO}=*** {problem}: 1 is used: every trace")]);
    assert_eq!(ratio("half"), [format!("{RATIO}=half {problem}: 1 is used: every trace")]);
    assert_eq!(ratio("2"), [format!("{RATIO}=2 {problem}: the nearest of these is used")]);
}

#[test]
fn header_that_cannot_be_sent_is_named_by_its_place() {
    let headers = |headers: &str| read(STANDARD, &[(HEADERS[1], headers)]).1;
    assert_eq!(headers("authorization=Basic%20hidden, x-tenant = a,"), [""; 0]);
    let wrong = |place| {
        format!(
            "{}=*** has something else than NAME=VALUE as entry {place}: that header is not sent",
            HEADERS[1]
        )
    };
    assert_eq!(headers("a=1,hidden"), [wrong(2)]);
    assert_eq!(headers("hidden hidden=1,b="), [wrong(1), wrong(2)]);
}

#[test]
fn time_for_a_batch_is_the_shortest_that_is_set() {
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
fn value_that_is_no_text_counts_as_not_set() {
    let mut variables: Variables = [(SAMPLER, OsString::from_vec(vec![0xff]))].into_iter().collect();
    assert!(Settings::read(STANDARD, &mut variables).is_ok());
    assert_eq!(variables.rejected(), [format!("{SAMPLER}=*** is no UTF-8: it counts as not set")]);
}

#[test]
fn file_for_tls_that_cannot_be_used_is_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
        path.to_str().expect("Unicode").to_owned()
    };
    let certificate = file("certificate.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let other = file("other.pem", &other.signing_key.serialize_pem());
    let empty = file("empty.pem", "");
    let (authorities, own) = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE");
    let own_key = "OTEL_EXPORTER_OTLP_CLIENT_KEY";
    let encrypted = || at(Protocol::Grpc, "https://a:1");
    let rejected = |variables: &[(&str, &str)]| {
        let (settings, rejected) = read(encrypted(), variables);
        assert_eq!(settings.err(), Some(Off::Unusable), "{variables:?}");
        rejected
    };
    assert_eq!(
        rejected(&[(authorities, "/nowhere")]),
        [format!(
            "{authorities}=/nowhere cannot be read: No such file or directory (os error 2): no traces are sent"
        )]
    );
    assert_eq!(
        rejected(&[(authorities, &empty)]),
        [format!("{authorities}={empty} has no certificate; PEM is expected: no traces are sent")]
    );
    let known = (authorities, &*certificate);
    assert_eq!(
        rejected(&[known, (own, &certificate)]),
        [format!("{own}={certificate} is useless without {own_key}: no traces are sent")]
    );
    let mismatch = rejected(&[known, (own, &certificate), (own_key, &other)]);
    assert!(mismatch[0].starts_with(&format!("{own_key}={other} is not the key of {certificate}: ")));
    let (settings, rejected) = read(encrypted(), &[known, (own, &certificate), (own_key, &key)]);
    assert!(settings.expect("usable").tls.is_some());
    assert_eq!(rejected, [""; 0]);
    let (settings, _) = read(STANDARD, &[(ENDPOINT, "HTTPS://a:1"), known]);
    assert!(settings.expect("usable").tls.is_some());
    // What is spoken to in the clear needs none.
    let (settings, rejected) = read(at(Protocol::Http, "http://a:1"), &[(authorities, "/nowhere")]);
    assert!(settings.expect("usable").tls.is_none());
    assert_eq!(rejected, [""; 0]);
}
