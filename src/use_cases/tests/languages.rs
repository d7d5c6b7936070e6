//! Each stream in the language that its user reads.

use domain::content::Translation;
use ports::inbound::{ChooseLanguage as _, LanguageOf};

use super::*;

fn tag(text: &str) -> LanguageTag {
    LanguageTag::try_new(text).expect("a language tag")
}

/// An event in English, German and French.
fn hello(number: u32) -> Content {
    let translations = [("de", "Hallo"), ("fr", "Bonjour")]
        .map(|(language, text)| Translation { language: tag(language), text: format!("{text} {number}") });
    Content::new(Some(format!("Hello {number}")), Some(tag("en")), translations.into())
}

fn asking(name: &str, field: &str) -> StreamRequest {
    StreamRequest { accept_language: LanguagePriorityList::from_accept_language(field), ..request(name) }
}

fn chosen(name: &str, language: Option<&str>, made: u64) -> SourceEvent {
    SourceEvent::LanguageChosen(LanguageChoice {
        user: user(name),
        language: language.map(tag),
        made: Duration::from_secs(made),
    })
}

impl House {
    fn greet(&mut self, users: &[&str], number: u32) {
        self.publish_of(users, "t", hello(number), Duration::ZERO);
    }

    fn asked(&self, name: &str, field: &str) -> (Arc<FakeOutbox>, Subscription) {
        let outbox = FakeOutbox::new(9);
        let subscription = self.ask(asking(name, field), &outbox).expect("a place");
        (outbox, subscription)
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_holds_from_the_next_event_on_all_open_streams_of_its_user_and_no_other() {
    let mut house = House::with(POLICY).await;
    let open =
        [("a", "fr"), ("a", ""), ("b", "fr-CA, de;q=0.1")].map(|(name, field)| house.asked(name, field));
    let read = async || {
        settle().await;
        open.each_ref().map(|(outbox, _)| outbox.take())
    };
    assert_eq!(
        open.each_ref().map(|(_, subscription)| subscription.language.to_string()),
        ["fr", "en", "fr-CA"]
    );
    house.greet(&["a", "b"], 1);
    assert_eq!(read().await, [["Bonjour 1"], ["Hello 1"], ["Bonjour 1"]]);
    house.say(chosen("a", Some("de-AT"), 1));
    house.greet(&["a", "b"], 2);
    let expected: [&[&str]; 3] = [&["in de-AT", "Hallo 2"], &["in de-AT", "Hallo 2"], &["Bonjour 2"]];
    assert_eq!(read().await, expected);
    // What is told again, or late, or says the same, changes nothing and is not told.
    house.say(chosen("a", Some("de-AT"), 1));
    house.say(chosen("a", Some("fr"), 0));
    house.say(chosen("a", Some("de-AT"), 2));
    house.greet(&["a"], 3);
    assert_eq!(read().await, [vec!["Hallo 3"], vec!["Hallo 3"], vec![]]);
    house.say(chosen("a", None, 3));
    house.greet(&["a"], 4);
    assert_eq!(read().await, [vec!["in fr", "Bonjour 4"], vec!["in en", "Hello 4"], vec![]]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn each_language_is_encoded_once() {
    let mut frames = MockFrames::new();
    frames.expect_opening().return_const(None);
    for position in 0..2 {
        let frame = Frame::from(position.to_string());
        let of =
            move |_: &Notification, version: &Version, _: &Option<Instant>| version.position() == position;
        frames.expect_event().once().withf(of).return_const(frame);
    }
    let mut house = House::new(any_metrics(), frames).await;
    let fields = ["de", "de-CH", "en", "it", "de;q=0.5, it"];
    let open = fields.map(|field| house.asked("a", field));
    house.greet(&["a"], 1);
    settle().await;
    assert_eq!(open.each_ref().map(|(outbox, _)| outbox.take()), [["1"], ["1"], ["0"], ["0"], ["1"]]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_comes_in_the_language_of_the_present() {
    let mut house = House::with(POLICY).await;
    house.say(chosen("a", Some("fr"), 1));
    house.greet(&["a"], 1);
    house.say(chosen("a", Some("de"), 2));
    settle().await;
    let outbox = FakeOutbox::new(1);
    let request = StreamRequest { last_event_id: Some(id(0).to_string()), ..asking("a", "en") };
    let subscription = house.ask(request, &outbox).expect("a place");
    assert_eq!(subscription.language, tag("de"));
    assert_eq!(outbox.take(), ["Hallo 1"]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_still_catching_up_reads_on_in_the_new_language() {
    let mut house = House::with(POLICY).await;
    for number in 1..=3 {
        house.greet(&["a"], number);
    }
    settle().await;
    let outbox = FakeOutbox::new(1);
    let request = StreamRequest { last_event_id: Some(id(0).to_string()), ..asking("a", "fr") };
    let _open = house.ask(request, &outbox).expect("a place");
    assert_eq!(outbox.take(), ["Bonjour 1"]);
    settle().await;
    house.say(chosen("a", Some("de"), 1));
    settle().await;
    assert_eq!(outbox.take(), ["Bonjour 2"], "it was in the queue already");
    settle().await;
    assert_eq!(outbox.take(), ["Hallo 3"]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_no_room_for_the_comment_is_told_later() {
    let mut house = House::with(POLICY).await;
    tokio::spawn(house.subscriptions.clone().look_after());
    let outbox = FakeOutbox::new(1);
    let _open = house.open("a", &outbox);
    house.greet(&["a"], 1);
    house.say(chosen("a", Some("de"), 1));
    // Longer than it takes to look whether there is room.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(outbox.take(), ["Hello 1"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(outbox.take(), ["in de"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(outbox.take(), [""; 0]);

    house.greet(&["a"], 2);
    house.say(chosen("a", Some("fr"), 2));
    settle().await;
    assert_eq!(outbox.take(), ["Hallo 2"]);
    house.say(chosen("a", Some("it"), 3));
    settle().await;
    assert_eq!(outbox.take(), ["in it"], "there is room at once");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(outbox.take(), [""; 0], "it was told of both");
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_choice_is_stored_first_and_changes_nothing_when_it_cannot_be() {
    let mut house = House::with(POLICY).await;
    let (outbox, _open) = house.asked("a", "fr");
    *house.preferences.away.lock() = true;
    assert_eq!(house.languages.choose(user("a"), Some(tag("de"))).await, Err(NotStored));
    let asked = LanguagePriorityList::from_accept_language("fr");
    let before = LanguageOf { chosen: None, effective: tag("fr") };
    assert_eq!(house.languages.language(&user("a"), asked.clone()), before);
    *house.preferences.away.lock() = false;
    assert_eq!(house.languages.choose(user("a"), Some(tag("de"))).await, Ok(()));
    let after = LanguageOf { chosen: Some(tag("de")), effective: tag("de") };
    assert_eq!(house.languages.language(&user("a"), asked), after);
    house.greet(&["a"], 1);
    settle().await;
    assert_eq!(outbox.take(), ["in de", "Hallo 1"]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_chosen_elsewhere_is_stored() {
    let house = House::with(POLICY).await;
    house.say(chosen("a", Some("de"), 7));
    settle().await;
    let expected =
        LanguageChoice { user: user("a"), language: Some(tag("de")), made: Duration::from_secs(7) };
    assert_eq!(*house.preferences.choices.lock(), [expected]);
    house.close().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_served_before_it_is_known_what_users_have_chosen() {
    let mut house = House::with(POLICY).await;
    let unknowing = Subscriptions::new(
        POLICY,
        LanguageTag::default(),
        Arc::new(PlainFrames),
        Arc::new(any_metrics()),
        Arc::new(PausedClock),
        None,
    );
    unknowing.begin(id(0));
    unknowing.subscribed();
    house.sequence += 1;
    let notification = Arc::new(Notification {
        id: id(1),
        recipients: vec![user("a")],
        event_type: EventType::try_new("t").expect("an event type"),
        content: hello(1),
    });
    unknowing.record(&notification, PausedClock.now());
    let outbox = FakeOutbox::new(9);
    let request = StreamRequest { last_event_id: Some(id(0).to_string()), ..asking("a", "fr") };
    let _open = unknowing.subscribe(request, outbox.clone()).expect("a place");
    settle().await;
    assert_eq!(outbox.take(), [""; 0]);
    unknowing.learn(LanguageChoice { user: user("a"), language: Some(tag("de")), made: Duration::ZERO });
    unknowing.know_languages();
    settle().await;
    assert_eq!(outbox.take(), ["in de", "Hallo 1"]);
    house.close().await;
}
