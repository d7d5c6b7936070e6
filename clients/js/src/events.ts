// Generated from openapi/events.json: scripts/event-catalogue types > clients/js/src/events.ts

/** An item: a file, a folder, or the root folder of a space. */
export interface ItemPayload {
  /** Id of the item, `STORAGE$SPACE!ITEM`. */
  itemid: string;
  /** Id of the folder that contains the item. May be empty. */
  parentitemid: string;
  /** Id of the item's space, `STORAGE$SPACE`. */
  spaceid: string;
  /** The header `Initiator-ID` of the request that has caused the event, empty if it had none. A client recognizes its own requests by it. */
  initiatorid: string;
  /** Entity tag of the item, with its quotation marks. May be empty. */
  etag: string;
  /** Ids of the users who are concerned by a share or membership; of a group, all members. `null` in other events. */
  affecteduserids: string[] | null;
  /** `failed` in `postprocessing-finished` if the file could not be processed, missing otherwise. It is in Infinite Scale's newest sources; no captured event has it. */
  outcome?: string;
  /** Known to OpenCloud's web client; no publisher was found that fills it in. */
  sessionid?: string;
}

/** A space. The fields are those of an item, but only two are filled in. */
export interface SpacePayload {
  /** Id of the space, with its root folder: `STORAGE$SPACE!SPACE`. */
  spaceid: string;
  /** As in an item's payload. */
  initiatorid: string;
  /** Empty. */
  itemid: string;
  /** Empty. */
  parentitemid: string;
  /** Empty. */
  etag: string;
  /** `null`. */
  affecteduserids: string[] | null;
}

/** A notification for a person. The texts are in the language of the user. */
export interface NotificationPayload {
  /** Id of the notification, by which it is deleted through the platform's API. */
  notification_id: string;
  /** The platform's service that has published it, `userlog`. */
  app: string;
  /** Login name of the user who has caused it. May be empty. */
  user: string;
  /** Time, as in RFC 3339. */
  datetime?: string;
  /** Id of the item or space. May be empty. */
  object_id?: string;
  /** What `object_id` names: `resource`, `storagespace` or `share`. OpenCloud's web client also knows `mention`. */
  object_type?: string;
  /** Title. */
  subject: string;
  /** Title with placeholders such as `{user}`. */
  subjectRich?: string;
  /** Text. */
  message: string;
  /** Text with placeholders such as `{user}`. */
  messageRich?: string;
  /** The values of a notification's placeholders, by name. Which ones are there depends on the notification. */
  messageRichParameters?: RichParameters;
}

/** The values of a notification's placeholders, by name. Which ones are there depends on the notification. */
export interface RichParameters {
  /** User who has caused it. */
  user?: { id?: string; name?: string; displayname?: string; };
  /** Space. */
  space?: { id?: string; name?: string; };
  /** File or folder. Without `id` if an upload was rejected. */
  resource?: { id?: string; name?: string; };
  /** Share. */
  share?: { id?: string; };
  /** What the virus scanner has found, and when. */
  virus?: { name?: string; scandate?: string; };
}

/** A logout at the identity provider. */
export interface LogoutPayload {
  /** Id of the user. */
  userid: string;
  /** Time, in the text format of protocol buffers (`seconds:… nanos:…`). It is not meant to be parsed. */
  timestamp: string;
  /** Id of the session that has ended. Only in newer versions of OpenCloud. */
  sessionid?: string;
}

/** Missing events. */
export interface GapPayload {
  /** The id after which events are missing: the one that the client has named or last received. `null` if there is none. */
  last_event_id: string | null;
  /** `expired`: the events are older than `SSE_HISTORY_MAX_AGE`, or NATS has lost them. `limit`: they were evicted (`SSE_HISTORY_MAX_BYTES`). `unknown`: the id is not one of the current NATS stream. */
  reason: "expired" | "limit" | "unknown";
}

/** The payloads of events by type: what `JSON.parse` returns for the `data` of an event. */
export interface EventPayloads {
  /** There is a notification for the user: a space was shared, disabled or deleted, a share was created, removed or has expired, an upload was rejected. The text is in the language that each user has chosen in the platform's profile. */
  "userlog-notification": NotificationPayload;
  /** An uploaded file is ready. The file has passed all steps, such as the virus scan, and can be downloaded. Also sent for a new version of a file. */
  "postprocessing-finished": ItemPayload;
  /** A file was locked, for example by an editor. */
  "file-locked": ItemPayload;
  /** A file was unlocked. */
  "file-unlocked": ItemPayload;
  /** An empty file was created. An empty file has no processing, so no `postprocessing-finished` follows. */
  "file-touched": ItemPayload;
  /** A file or folder was renamed. */
  "item-renamed": ItemPayload;
  /** A file or folder was moved to the trash. `parentitemid` and `etag` are empty. */
  "item-trashed": ItemPayload;
  /** A file or folder was restored from the trash. */
  "item-restored": ItemPayload;
  /** A file or folder was moved to another folder. `parentitemid` is the new folder. */
  "item-moved": ItemPayload;
  /** The user has marked a file or folder as a favorite. */
  "item-favorite-added": ItemPayload;
  /** The user has unmarked a favorite. */
  "item-favorite-removed": ItemPayload;
  /** A folder was created. */
  "folder-created": ItemPayload;
  /** A space was created. */
  "space-created": SpacePayload;
  /** A space was disabled. */
  "space-disabled": SpacePayload;
  /** A disabled space was enabled again. */
  "space-enabled": SpacePayload;
  /** A space was deleted. */
  "space-deleted": SpacePayload;
  /** A user or group became a member of a space. `itemid` is the root folder of the space, and `parentitemid` is the id of the space. */
  "space-member-added": ItemPayload;
  /** A user or group is no longer a member of a space. `itemid` is the root folder of the space, and `parentitemid` is the id of the space. */
  "space-member-removed": ItemPayload;
  /** The role of a member of a space was changed. `itemid` is the root folder of the space, and `parentitemid` is the id of the space. */
  "space-share-updated": ItemPayload;
  /** A file or folder was shared with a user or group. */
  "share-created": ItemPayload;
  /** A share of a file or folder was removed. */
  "share-removed": ItemPayload;
  /** A share of a file or folder was changed, for example its role. */
  "share-updated": ItemPayload;
  /** A public link to a file or folder was created. */
  "link-created": ItemPayload;
  /** A public link was removed. */
  "link-removed": ItemPayload;
  /** A public link was changed. */
  "link-updated": ItemPayload;
  /** The identity provider has ended a session of the user. Unless `SSE_CLOSE_ON_LOGOUT` is `false`, the user's streams end after this event. */
  "backchannel-logout": LogoutPayload;
  /** Events are missing before the next one. The service no longer has events that the client has not received. The client should fetch its state again. */
  "stream-gap": GapPayload;
}
