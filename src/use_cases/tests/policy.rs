//! Changes of the policy while streams are open.

use super::*;

#[tokio::test(start_paused = true)]
async fn lower_limits_end_no_stream() {
    let limits = StreamLimits { total: 3, per_user: 2 };
    let mut service = Service::start(StreamPolicy { limits, ..POLICY }).await;
    let mut clients = ["a", "a", "b"].map(|name| service.open(name));
    service
        .subscriptions
        .set_policy(StreamPolicy { limits: StreamLimits { total: 2, per_user: 1 }, ..POLICY });
    service.publish(&["a", "b"], "x");
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["x"]; 3]);
    let rejected = |name: &str| service.try_open(request(name)).err();
    assert!(matches!(rejected("c"), Some(SubscribeError::TooMany { .. })));
    let [first, second, third] = clients;
    drop(third);
    assert!(matches!(rejected("c"), Some(SubscribeError::TooMany { .. })));
    drop(second);
    assert!(matches!(rejected("a"), Some(SubscribeError::TooManyOfUser { .. })));
    assert_eq!(rejected("c").map(drop), None);
    service.subscriptions.set_policy(StreamPolicy { limits, ..POLICY });
    assert_eq!(rejected("a").map(drop), None);
    drop(first);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keepalive_interval_applies_to_open_streams() {
    let service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let reader = service.open("a").keep_reading();
    let keepalive = |seconds| StreamPolicy { keepalive: KeepalivePolicy::every(s(seconds)), ..POLICY };
    let comments = || reader.texts().iter().filter(|text| *text == ":").count();
    let comments_in_20_s_with = async |policy| {
        service.subscriptions.set_policy(policy);
        // The next sweep is within a second.
        tokio::time::sleep(s(1)).await;
        let before = comments();
        tokio::time::sleep(s(20)).await;
        comments() - before
    };
    assert_eq!(comments_in_20_s_with(POLICY).await, 0);
    assert_eq!(comments_in_20_s_with(keepalive(2)).await, 10);
    assert_eq!(comments_in_20_s_with(keepalive(5)).await, 4);
    assert_eq!(comments_in_20_s_with(POLICY).await, 0);
    service.stop().await;
}

/// The interval is shorter than the sweep period without keepalives.
#[tokio::test(start_paused = true)]
async fn short_keepalive_interval_shortens_sweep_period() {
    let service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let reader = service.open("a").keep_reading();
    let keepalive = KeepalivePolicy::every(Duration::from_millis(100));
    service.subscriptions.set_policy(StreamPolicy { keepalive, ..POLICY });
    tokio::time::sleep(s(11)).await;
    assert!((98..=110).contains(&reader.texts().len()), "{}", reader.texts().len());
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn max_age_applies_to_new_streams() {
    let service = Service::start(StreamPolicy { max_age: Some(s(100)), ..POLICY }).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut before = service.open("a");
    service.subscriptions.set_policy(StreamPolicy { max_age: Some(s(10)), ..POLICY });
    let mut after = service.open("a");
    tokio::time::sleep(s(12)).await;
    assert_eq!((before.read(), before.ended()), (vec![], None));
    assert_eq!((after.read(), after.ended()), (vec!["MaxAge".to_owned()], Some("MaxAge")));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn close_on_logout_can_change() {
    let mut service = Service::start(StreamPolicy { close_on_logout: false, ..POLICY }).await;
    let mut client = service.open("a");
    service.publish_of(&["a"], "backchannel-logout", "1", Duration::ZERO);
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (vec!["1".to_owned()], None));
    service.subscriptions.set_policy(POLICY);
    service.publish_of(&["a"], "backchannel-logout", "2", Duration::ZERO);
    run_until_idle().await;
    assert_eq!((client.read(), client.ended()), (vec!["2".to_owned(), "Logout".into()], Some("Logout")));
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replace_streams_can_change() {
    let service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut older = service.try_open(tab("a", "tab")).expect("a stream");
    let _newer = service.try_open(tab("a", "tab")).expect("a stream");
    tokio::time::sleep(s(7)).await;
    assert_eq!((older.read(), older.ended()), (vec![], None));
    service.subscriptions.set_policy(StreamPolicy { replace_streams: true, ..POLICY });
    tokio::time::sleep(s(2)).await;
    older.read();
    assert_eq!(older.ended(), Some("Replaced"));
    service.stop().await;
}
