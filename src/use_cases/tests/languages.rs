//! The languages of streams.

use domain::content::{Translation, TranslationIndex};
use ports::{
    inbound::{ChoiceNotStored, ChooseLanguage as _, UserLanguage},
    outbound::LanguagePreferences as _,
};

use super::*;

fn tag(text: &str) -> LanguageTag {
    LanguageTag::try_new(text).expect("a language tag")
}

/// An event in English, German and French.
fn greeting(number: u32) -> Content {
    greeting_with(number, str::to_owned)
}

fn greeting_with(number: u32, text: impl Fn(&str) -> String) -> Content {
    let translations = [("de", "Hallo"), ("fr", "Bonjour")];
    let translations = translations.map(|(language, hello)| Translation {
        language: tag(language),
        text: text(&format!("{hello} {number}")),
    });
    Content::new(Some(text(&format!("Hello {number}"))), Some(tag("en")), translations.into())
}

fn request_in(name: &str, field: &str) -> StreamRequest {
    StreamRequest { accept_language: LanguagePriorityList::from_accept_language(field), ..request(name) }
}

fn request_after(event: u64, name: &str, field: &str) -> StreamRequest {
    StreamRequest { last_event_id: Some(id(event).to_string()), ..request_in(name, field) }
}

fn chosen(name: &str, language: Option<&str>, chosen_at: u64) -> SourceEvent {
    SourceEvent::LanguageChosen(LanguageChoice {
        user: user(name),
        language: language.map(tag),
        chosen_at: s(chosen_at),
    })
}

impl Service {
    fn publish_greeting(&mut self, users: &[&str], number: u32) {
        self.publish_of(users, "t", greeting(number), Duration::ZERO);
    }

    fn open_in(&self, name: &str, field: &str) -> Client {
        self.try_open(request_in(name, field)).expect("a stream")
    }
}

#[tokio::test(start_paused = true)]
async fn change_applies_to_open_streams_from_next_event() {
    let mut service = Service::start(POLICY).await;
    let mut clients =
        [("a", "fr"), ("a", ""), ("b", "fr-CA, de;q=0.1")].map(|(name, field)| service.open_in(name, field));
    let languages = clients.each_ref().map(|client| client.language.to_string());
    assert_eq!(languages, ["fr", "en", "fr-CA"]);
    let mut read = async || {
        run_until_idle().await;
        clients.each_mut().map(Client::read)
    };
    service.publish_greeting(&["a", "b"], 1);
    assert_eq!(read().await, [["Bonjour 1"], ["Hello 1"], ["Bonjour 1"]]);
    service.receive(chosen("a", Some("de-AT"), 1));
    service.publish_greeting(&["a", "b"], 2);
    let expected: [&[&str]; 3] = [&["in de-AT", "Hallo 2"], &["in de-AT", "Hallo 2"], &["Bonjour 2"]];
    assert_eq!(read().await, expected);
    // A repeated, outdated or equal choice changes nothing and is not sent to clients.
    service.receive(chosen("a", Some("de-AT"), 1));
    service.receive(chosen("a", Some("fr"), 0));
    service.receive(chosen("a", Some("de-AT"), 2));
    service.publish_greeting(&["a"], 3);
    assert_eq!(read().await, [vec!["Hallo 3"], vec!["Hallo 3"], vec![]]);
    // A waiting stream is notified at once.
    service.receive(chosen("a", None, 3));
    assert_eq!(read().await, [vec!["in fr"], vec!["in en"], vec![]]);
    service.publish_greeting(&["a"], 4);
    assert_eq!(read().await, [vec!["Bonjour 4"], vec!["Hello 4"], vec![]]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_translation_is_encoded_once() {
    let mut frames = MockFrames::new();
    frames.expect_opening().return_const(None);
    for position in 0..2 {
        let frame = Frame::from(position.to_string());
        let is_this =
            move |_: &Notification, translation: &TranslationIndex| translation.position() == position;
        frames.expect_event().once().withf(is_this).return_const(frame);
    }
    let mut service = Service::start_with(POLICY, any_metrics(), frames).await;
    let mut clients = ["de", "de-CH", "en", "it", "de;q=0.5, it"].map(|field| service.open_in("a", field));
    service.publish_greeting(&["a"], 1);
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["1"], ["1"], ["0"], ["0"], ["1"]]);
    drop(clients);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn missed_events_have_current_language() {
    let mut service = Service::start(POLICY).await;
    service.receive(chosen("a", Some("fr"), 1));
    service.publish_greeting(&["a"], 1);
    service.receive(chosen("a", Some("de"), 2));
    run_until_idle().await;
    let mut client = service.try_open(request_after(0, "a", "en")).expect("a stream");
    assert_eq!(client.language, tag("de"));
    assert_eq!(client.read(), ["Hallo 1"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn change_applies_during_replay() {
    let mut service = Service::start(POLICY).await;
    for number in 1..=3 {
        service.publish_of(&["a"], "t", greeting_with(number, |text| large(text)), Duration::ZERO);
    }
    run_until_idle().await;
    let mut client = service.try_open(request_after(0, "a", "fr")).expect("a stream");
    assert_eq!(client.read_turn(), ["Bonjour 1"]);
    service.receive(chosen("a", Some("de"), 1));
    run_until_idle().await;
    assert_eq!(client.read(), ["in de", "Hallo 2", "Hallo 3"]);
    service.stop().await;
}

/// The note has the latest language and comes before the events.
#[tokio::test(start_paused = true)]
async fn slow_client_gets_one_note_for_several_changes() {
    let mut service = Service::start(POLICY).await;
    tokio::spawn(service.subscriptions.clone().maintain());
    let mut client = service.open("a");
    assert_eq!(client.read(), NOTHING);
    service.publish_greeting(&["a"], 1);
    service.receive(chosen("a", Some("de"), 1));
    service.publish_greeting(&["a"], 2);
    service.receive(chosen("a", Some("fr"), 2));
    service.publish_greeting(&["a"], 3);
    tokio::time::sleep(s(2)).await;
    assert_eq!(client.read(), ["in fr", "Bonjour 1", "Bonjour 2", "Bonjour 3"]);
    tokio::time::sleep(s(2)).await;
    assert_eq!(client.read(), NOTHING, "both changes were sent");
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn choice_is_stored_before_it_applies() {
    let mut service = Service::start(POLICY).await;
    let mut client = service.open_in("a", "fr");
    *service.preferences.is_unavailable.lock() = true;
    assert_eq!(service.languages.choose(user("a"), Some(tag("de"))).await, Err(ChoiceNotStored));
    let requested = LanguagePriorityList::from_accept_language("fr");
    let before = UserLanguage { chosen: None, effective: tag("fr") };
    assert_eq!(service.languages.language(&user("a"), requested.clone()), before);
    assert_eq!(client.read(), NOTHING);
    *service.preferences.is_unavailable.lock() = false;
    assert_eq!(service.languages.choose(user("a"), Some(tag("de"))).await, Ok(()));
    let after = UserLanguage { chosen: Some(tag("de")), effective: tag("de") };
    assert_eq!(service.languages.language(&user("a"), requested), after);
    service.publish_greeting(&["a"], 1);
    run_until_idle().await;
    assert_eq!(client.read(), ["in de", "Hallo 1"]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn choice_in_platform_settings_is_stored() {
    let service = Service::start(POLICY).await;
    service.receive(chosen("a", Some("de"), 7));
    run_until_idle().await;
    let expected = LanguageChoice { user: user("a"), language: Some(tag("de")), chosen_at: s(7) };
    assert_eq!(*service.preferences.store.borrow(), [expected]);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn choice_on_other_instance_applies() {
    let mut service = Service::start(POLICY).await;
    let following = tokio::spawn(service.languages.clone().follow());
    let mut client = service.open_in("a", "fr");
    let elsewhere = service.preferences.another();
    elsewhere.choose(user("a"), Some(tag("de")), None).await.expect("stored");
    run_until_idle().await;
    service.publish_greeting(&["a"], 1);
    run_until_idle().await;
    assert_eq!(client.read(), ["in de", "Hallo 1"]);
    following.abort();
    service.stop().await;
}

/// Opens a stream with a missed event before the stored choices were read.
fn open_before_languages() -> (Subscriptions, Client) {
    let subscriptions = Subscriptions::new(
        POLICY,
        LanguageTag::default(),
        Arc::new(PLAIN_FRAMES),
        Arc::new(any_metrics()),
        Arc::new(PausedClock::default()),
        None,
    );
    subscriptions.resync(id(0));
    subscriptions.subscribed();
    subscriptions.append(notification(1, &["a"], "t", greeting(1)), now());
    let connection = Arc::<FakeConnection>::default();
    let subscription = subscriptions.subscribe(request_after(0, "a", "fr"), connection.clone());
    let mut client = Client::new(subscription.expect("a stream"), connection);
    assert_eq!(client.read(), NOTHING);
    (subscriptions, client)
}

#[tokio::test(start_paused = true)]
async fn stream_starts_after_choices_are_read() {
    let (subscriptions, mut client) = open_before_languages();
    subscriptions.apply_choice(LanguageChoice {
        user: user("a"),
        language: Some(tag("de")),
        chosen_at: Duration::ZERO,
    });
    subscriptions.languages_up_to_date();
    assert_eq!(client.read(), ["in de", "at 1-0", "Hallo 1"]);
}

#[tokio::test(start_paused = true)]
async fn stream_starts_without_unavailable_choices() {
    let (subscriptions, mut client) = open_before_languages();
    subscriptions.languages_unavailable();
    assert_eq!(client.read(), ["at 1-0", "Bonjour 1"]);
}

/// The clock of NATS may have been set back.
#[tokio::test(start_paused = true)]
async fn choice_replaces_one_with_later_time() {
    let service = Service::start(POLICY).await;
    let before = LanguageChoice { user: user("a"), language: Some(tag("de")), chosen_at: s(100) };
    service.subscriptions.apply_choice(before);
    assert_eq!(service.languages.choose(user("a"), Some(tag("fr"))).await, Ok(()));
    assert_eq!(service.languages.language(&user("a"), None).chosen, Some(tag("fr")));
    service.stop().await;
}

/// An administrator may have deleted the bucket. Choices are kept until the entries of the new bucket were read.
#[tokio::test(start_paused = true)]
async fn choices_missing_in_recreated_store_are_removed() {
    let mut service = Service::start(POLICY).await;
    for name in ["a", "b"] {
        service.receive(chosen(name, Some("de"), 5));
    }
    run_until_idle().await;
    let mut clients = ["a", "b"].map(|name| service.open_in(name, "it"));
    service.subscriptions.languages_recreated();
    service.publish_greeting(&["a", "b"], 1);
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["Hallo 1"], ["Hallo 1"]]);
    service.subscriptions.apply_choice(LanguageChoice {
        user: user("a"),
        language: Some(tag("fr")),
        chosen_at: s(1),
    });
    service.subscriptions.languages_up_to_date();
    service.publish_greeting(&["a", "b"], 2);
    run_until_idle().await;
    assert_eq!(clients.each_mut().map(Client::read), [["in fr", "Bonjour 2"], ["in it", "Hello 2"]]);
    service.stop().await;
}
