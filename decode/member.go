package decode

import (
	"errors"
	"strconv"

	"github.com/overreach/overreach/schema"
)

// member is a member of an event's JSON object that is read.
type member uint8

const (
	unknown member = iota
	memberTime
	memberAction
	memberPartner
	memberApp
	memberCapability
	memberSubject
	memberActor
	memberID
	memberAPIVersion
	memberGrant
	memberStatus
	memberRecords
	memberBytes
	members
)

var memberNames = [members]string{
	memberTime: "time", memberAction: "action", memberPartner: "partner", memberApp: "app",
	memberCapability: "capability", memberSubject: "subject", memberActor: "actor", memberID: "id",
	memberAPIVersion: "api_version", memberGrant: "grant", memberStatus: "status",
	memberRecords: "records", memberBytes: "bytes",
}

var requiredMembers = [...]member{memberTime, memberPartner, memberCapability, memberAction, memberSubject}

// memberOf returns the member of a name; case counts.
func memberOf(name []byte) member {
	switch string(name) {
	case "time":
		return memberTime
	case "action":
		return memberAction
	case "partner":
		return memberPartner
	case "app":
		return memberApp
	case "capability":
		return memberCapability
	case "subject":
		return memberSubject
	case "actor":
		return memberActor
	case "id":
		return memberID
	case "api_version":
		return memberAPIVersion
	case "grant":
		return memberGrant
	case "status":
		return memberStatus
	case "records":
		return memberRecords
	case "bytes":
		return memberBytes
	}
	return unknown
}

// MaxName and MaxID are the lengths, in bytes, of the longest strings that an
// event may hold: names become keys of every table and label what people read,
// ids are only hashed or looked up.
const (
	MaxName = 256  // partner, app, capability, api_version, grant
	MaxID   = 1024 // subject, actor, id
)

// maxLength returns the greatest length of a text member, in bytes.
func (m member) maxLength() int {
	switch m {
	case memberSubject, memberActor, memberID:
		return MaxID
	}
	return MaxName
}

// isWhole reports whether the member is a whole number.
func (m member) isWhole() bool { return m >= memberStatus }

// isRequired reports whether every event needs the member.
func (m member) isRequired() bool {
	for _, r := range requiredMembers {
		if r == m {
			return true
		}
	}
	return false
}

// expected says what the member should be, for a message.
func (m member) expected() string {
	switch {
	case m == memberTime:
		return "a string in RFC 3339 or whole milliseconds since 1970"
	case m == memberAction:
		return "one of read, write, delete"
	case m.isWhole():
		return "a whole number"
	}
	return "a string"
}

// memberText returns where a text member is kept, nil for any other.
func memberText(e *schema.Event, m member) *[]byte {
	switch m {
	case memberPartner:
		return &e.Partner
	case memberApp:
		return &e.App
	case memberCapability:
		return &e.Capability
	case memberSubject:
		return &e.Subject
	case memberActor:
		return &e.Actor
	case memberID:
		return &e.ID
	case memberAPIVersion:
		return &e.APIVersion
	case memberGrant:
		return &e.Grant
	}
	return nil
}

// maxStatus is the greatest status: three digits, as HTTP has them.
const maxStatus = 999

// setText sets a member to a text, already unquoted.
func setText(e *schema.Event, m member, text []byte) *schema.Reject {
	switch m {
	case memberTime:
		ms, r := parseTime(text)
		e.Time = ms
		return r
	case memberAction:
		if len(text) == 0 {
			return nil // told with whatever else is missing
		}
		for _, a := range schema.Actions {
			if string(text) == a.String() {
				e.Action = a
				return nil
			}
		}
		return schema.Rejectf(schema.BadAction, "action is a string of %d bytes that is none of read, write, delete (lower case)", len(text))
	}
	if len(text) > m.maxLength() {
		return tooLong(m, len(text))
	}
	*memberText(e, m) = text
	return nil
}

func tooLong(m member, length int) *schema.Reject {
	return schema.Rejectf(schema.TooLong, "%s has %d bytes, more than %d: send a shorter name, or a hash of it", memberNames[m], length, m.maxLength())
}

// setNumber sets a member to a number, given as it is written.
func setNumber(e *schema.Event, m member, digits []byte) *schema.Reject {
	if m != memberTime && !m.isWhole() {
		return schema.Rejectf(schema.WrongType, "%s is a number, expected %s", memberNames[m], m.expected())
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return schema.Rejectf(schema.OutOfRange, "%s is a whole number that 64 bits cannot hold, expected %s", memberNames[m], m.expected())
	case err != nil:
		return schema.Rejectf(schema.WrongType, "%s is a number with a fraction or an exponent, expected %s", memberNames[m], m.expected())
	case m == memberTime:
		e.Time = n
		return checkMillis(n)
	case n < 0:
		return schema.Rejectf(schema.OutOfRange, "%s is negative, expected a whole number from 0", memberNames[m])
	case m == memberStatus && n > maxStatus:
		return schema.Rejectf(schema.OutOfRange, "status is above %d, expected an HTTP status such as 200", maxStatus)
	}
	switch m {
	case memberStatus:
		e.Status = int32(n) // at most maxStatus
	case memberRecords:
		e.Records = n
	case memberBytes:
		e.Bytes = n
	}
	return nil
}
