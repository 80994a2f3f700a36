"""What guests write to a restaurant: the wording of every slot, and talk that holds none."""

from __future__ import annotations

from .chance import phrases

SLOT_CLAUSES = {
    "people": phrases(
        """
        for {} | we are {} | there will be {} | we will be {} | a table for {} | it is {} | make
        it {} | there are {} in total | room for {} | change it to {} | the booking is for {} |
        seats for {} | we'll be {} | just {} | it's for {} | to seat {} | {} will come | book for
        {} | reservation for {} | a booking for {} | I need it for {} | a reservation for {} |
        table for {} | with {} | space for {} | only {} | including {} | down to {} | now we are
        {} | seats {} | we need {} seats | {} will be there | {} are coming | there'll be {} |
        will you have room for {} | a big table for {} | for a group of {} | it should be for {} |
        make that {} | our party is {} | dinner for {} | lunch for {} | a place for {} | can you
        seat {} | is there space for {} | to have {} | {} this time | it will only be {} | {} are
        joining | instead of that {} | we expect {} | we have {} | add a chair, now {} | {}
        altogether | updated to {} | the party is now {} | to feed {} | fit {}
        """
    ),
    "count": phrases(
        """
        party of {} | a party of {} | {} of us | my family of {} | a group of {} | {} in total |
        for {} of us | the size is {} | table of {} | there are {} of us | number of guests is {}
        | we are {} in total | {} of us are coming | a family of {} | group of {} | our group of
        {} | party size {} | the party size is {} | the party size should be {} | {} seats | all
        {} seats together | {} chairs | headcount {} | my party of {} | reservation for {}
        """
    ),
    "time": phrases(
        """
        at {} | for {} | around {} | after {} | by {} | the time is {} | {} is fine | at around {}
        | anytime after {} | at about {} | from {} | before {} | make it {} | {} is my booking |
        my {} reservation | the {} reservation | {} is the time | {} would be fine | {} is also
        fine | {} is correct | book it for {} | move it to {} | some time after {} | set at {} |
        time {} | to {} | it starts at {} | the {} slot | we arrive at {} | is {} okay | we'll be
        there at {} | at {} sharp | it is at {} | the booking is at {} | say {} | how about {} |
        would {} work | something around {} | around {} ish | at about {} ish | no later than {} |
        earliest at {} | is {} free | is {} possible | {} please | starting at {} | the time
        should be {} | scheduled at {} | dinner at {} | lunch at {} | coming at {} | {} sharp |
        seat us at {} | until {} | between now and {} | for the {} slot | change the time to {} |
        not before {} | do you have {} | {} o'clock | at {} o'clock | at {} ish | around {}-ish |
        sometime around {} | at {}, we will be late | booked at {} | an {} booking
        """
    ),
    "date": phrases(
        """
        on {} | for {} | the date is {} | it is for {} | {} works | book me for {} | book it for
        {} | a reservation for {} | {} would be great | I said {} | on the date {} | this is for
        {} | change the day to {} | come {} | is {} possible | on the {} | the booking is on {} |
        {} please | it's on {} | is {} free | how about {} | coming on {} | the day is {} | we
        come {} | our visit is {} | dinner on {} | lunch on {} | change it to {} | move it to {} |
        starting {} | any table {} | anything {} | do you have {} | the date should be {} |
        arriving {} | for dinner {} | {} would work | is it possible {} | a table {} | my booking
        {} | booked {} | it is {} | scheduled {} | reservation {} | a booking {} | make that {} |
        for a table {} | seating on {} | here on {}
        """
    ),
    "full_name": phrases(
        """
        under {} | under the name {} | my name is {} | the name is {} | this is {} | booked by {}
        | name of {} | I'm {} | I am {} | it is under {} | in the name of {} | for {} | name: {} |
        reserved by {} | put it under {} | the {} booking | hi, {} here | under the name of {} | a
        booking for {} | under my name, {} | reserved for {} | {} is the name | you can call me {}
        | the reservation is for {} | on name {} | listed under {} | it's listed under the name {}
        | the guest is {} | I booked as {} | reserve it for {} | ask for {} | my name's {} | put
        {} down | on {}'s name | it was made by {} | in the name {} | for a {} | for guest {} | {}
        made the booking | {} speaking | hello, this is {} and | {} is my name | {} booked it |
        check under {} | it's {} | here is {} | the booking of {} | make it out to {}
        """
    ),
    "last_name": phrases(
        """
        under {} | the last name is {} | surname {} | my last name is {} | for Mr {} | for Mrs {}
        | the {} party | family name {} | it's under {} | Ms {} | the name is {} | it is under {}
        | listed under {} | Mr. {} | Mrs. {} | last name {} | for Miss {} | my surname's {} | name
        {} | the {} reservation | by {} | as {} | Dr {}
        """
    ),
    "first_name": phrases(
        """
        I'm {} | my first name is {} | first name {} | it's {} | call me {} | this is {} | I am {}
        | the first name is {} | my name is {} | name's {} | just {} | here is {} | under {} | hi,
        {} here
        """
    ),
}
OPENINGS = phrases(
    """
    I would like to book a table | can you book | I need a table | my reservation is | please
    change my booking | I want to make a reservation | could I get a table | book it | reserve a
    table | do you have a table | is there anything free | can I change the booking | I'd like to
    reserve | we need a table | I have a booking | can I book | please cancel my reservation | I
    booked a table | book me | we want a table outside | can we come | I'm looking for a table
    inside | make a reservation | I will cancel my lunch booking | I made a reservation | I'm
    calling about my booking | I want to cancel my booking | I'd like to change my reservation | I
    need to move my reservation | please update my reservation | can I get a table | may I make a
    reservation | I wish to book | I am booking this | put me down | please reserve | can you
    reserve | is there a table | is a table available | I have reserved a table | we are running
    late for our reservation | I need to cancel | would you please book | I want to book an
    outdoor table | please book an indoor table | I'd like to come | we would like a table in the
    garden | let's do it | can you squeeze us in | I must change my table | I reserved | have you
    got a table | I think my reservation is | my lunch reservation is | my dinner reservation is |
    I booked dinner | I have a table booked | what about a table
    """
)
INTERJECTIONS = phrases(
    """
    yes, | yes | no, | ok, | actually, | sorry, | hi, | hello, | please, | well, | wait, | great,
    | sure, | oh, | hold on, | on second thought, | oops, | ah, | well, yes, | yes please, | no
    thanks, | in fact, | thanks, | perfect, | good morning, | excuse me, | so | and | maybe | i
    think | alright, | oh no, | mm,
    """
)
ENDINGS = phrases(
    """
    please | thanks | thank you | if possible | is that ok? | ok? | instead | that is correct |
    would be great | is correct | sounds good | will do | works for me | sounds best | is the plan
    | so it's fine | sharp | if you can | is what I need | then | for me | would work | is good |
    is what we want | as well | right
    """
)
#: Messages without a slot. Their names are those of places, dishes and restaurants.
TALK = {
    "message": phrases(
        """
        I am looking for <cuisine> food | do you have <word> tables? | I would like to sit <spot>
        | can the table be <spot>? | what is your address? | what is the phone number? | no thanks
        | is there parking? | I am looking for a restaurant called <restaurant> | tell me about
        <restaurant> | I want information on the <restaurant> restaurant | not in <place>, but in
        <place> | I don't want something cheap | is it <word>? | do you serve <word> food? | yes
        please | that is all, goodbye | no, that is wrong | can you repeat it? | I want to cancel
        | my booking is for <spot> | I prefer to sit <spot> | do you have <word> options? | is the
        <word> menu still there? | I do not like <cuisine> food | can I bring my <word>? | I want
        to change my booking | it should have more than four stars | how long will it take? |
        where is <restaurant>? | my friend is <word> | I need a bigger table | can I have the same
        table <spot>? | <talk> | thank you very much | the price should be <word> | do you have
        something else? | I need to make a change to my booking | is the <word> open? | I'd like
        the <restaurant> in <place> | <cuisine> cuisine but not <cuisine> | I need <word> access |
        is there <word> access? | it should have <word> and <word> | I want it to have a <word> |
        I don't care about the <word> | no, I don't care about <word> access | a rating of more
        than 3 | the price range is <word> | what is the rating? | I would like a <word> place |
        in the <place> area please | something in <place> or <place> <place> | either <cuisine> or
        <place> cuisine | <word> | no | yes | yes, that sounds ok | ok, please book it | I prefer
        a booking <spot> | an <word> table please | a table <spot> would be best | is the food
        <cuisine>? | make me a reservation, please | I found a restaurant named <restaurant> | I
        am seeking <restaurant> | what's the maximum <word> size? | who is the <word>? | I need
        <cuisine> options | do they have a <word>? | <word> is needed | thank you for your help,
        goodbye | never mind | could you tell me the <word> again? | a place with <word> and
        <word> <word> | all right | can I get a table in the <word> | amend a booking | I have
        made a mistake | that's fine | not <word> at all | I like it <word> | hello, can I book a
        table? | please book it for me | yes, that is correct | <want> <cuisine> food | <want>
        <cuisine> cuisine | <want> a <cuisine> restaurant | <want> a <cuisine> place in <place> |
        <want> a restaurant called <restaurant> | <want> the restaurant <restaurant> | <want>
        <restaurant> | <want> information about <restaurant> | <want> <place> neighborhood |
        <want> something in the <place> area | <want> a table <spot> | <want> to sit <spot> |
        <want> a place with <feature> | <want> <feature> | <want> a <price> place | <want>
        something <price> | <want> the <price> price range | <want> a restaurant with <feature>
        and <feature> | <dislike> <cuisine> food | <dislike> <cuisine> cuisine | <dislike> <place>
        | <dislike> anything <price> | not <place> but <place> | no <cuisine>, <cuisine> instead |
        <feature> does not matter | it should have <feature> | it must be <price> | is it <price>?
        | does it have <feature>? | do they have <feature>? | what is the <info>? | what is their
        <info>? | could you tell me the <info>? | the <info>, please | can I have the <info> of
        <restaurant>? | tell me the <info> of <restaurant> | I have a question about <restaurant>
        | I heard of <restaurant> | have you heard of <restaurant>? | I want to inquire about
        <restaurant> | can you help me find <restaurant>? | I love the <cuisine> food at
        <restaurant> | a rating above <digit> | at least <digit> stars | <digit> stars or more |
        rating higher than <digit> | the rating should be at least <digit> stars | more than
        <digit> stars in <place> | can the booking be <spot>? | we'd rather sit <spot> | I only
        like to sit <spot> | <spot> please | <spot> | a table <spot>, please | make it <spot> |
        can you move us <spot>? | I really want a table <spot> | that is correct | that is wrong |
        correct | incorrect | right | yes, it is | no, it is not | yes, that is right | yes please
        do | yes, book it | go ahead | please go ahead and book it | ok, do it | sure | sounds
        good | great, thanks | perfect, thank you | thank you, bye | goodbye | bye | thanks a lot
        | what can you do for me? | who are you? | can you help me? | I need help | I need help
        with my booking | I have a booking | I have a reservation | I need a reservation | I'd
        like to make a booking | I want to make a booking, please | I made a mistake | I want to
        change something | I need to cancel | please cancel it | cancel my reservation please | I
        want to cancel my table | I would like to amend my booking | can I modify my reservation?
        | we are running late | I am running late | is there space for a <word>? | do you have
        <word> seats? | I'll have the <word> | our <word> is <word> | my <word> likes <cuisine>
        food | we have a small <word> | it's my <word>'s birthday | I'm here for the <word> | I
        don't know | not sure | I do not remember | maybe | whatever works | any is fine |
        anything is fine | I don't mind | it doesn't matter | no preference | surprise me |
        <cuisine> | <cuisine> please | <place> | in <place> | <restaurant> | <feature> | <price> |
        somewhere in <place> | near <place> | is it in <place>? | how far is <place>? | is
        <restaurant> in <place>? | the one in <place> | either <place> or <place> | <restaurant>
        or <restaurant> | is there anything else? | anything else nearby? | another restaurant
        please | I want another restaurant
        """
    ),
    "want": phrases(
        """
        I want | I would like | I'd like | I am looking for | I'm looking for | we want | how
        about | do you have | can you find | I need | I prefer | find me | I am interested in |
        show me | I'd prefer | we'd like | is there | I really want | can you suggest | I wish for
        | please find | I was hoping for | well, I want | yes, I want | I'm seeking | could you
        find me
        """
    ),
    "dislike": phrases(
        """
        I do not like | I don't want | no | I do not want | not | I'd rather not have | please no
        | anything but | I hate | we don't eat | I'm not interested in | I would not like
        """
    ),
    "cuisine": phrases(
        """
        Polish | Indian | French | Thai | Greek | Italian | Korean | Turkish | British | Mexican |
        Spanish | Vegan | Chinese | Japanese | Lebanese | Portuguese | American | Southern |
        African | Swedish | Danish | Russian | Vietnamese | Brazilian | seafood | sushi | pizza |
        steak | pub | vegetarian
        """
    ),
    "spot": phrases(
        """
        outside | inside | outdoors | indoors | in the garden | in the shade | by the window | on
        the patio | on the terrace | in a booth | upstairs | in the back | at the bar | near the
        door | in the sun | at a quiet table
        """
    ),
    "price": phrases(
        """
        cheap | expensive | moderate | moderately priced | pricey | affordable | low priced | mid
        range | costly
        """
    ),
    "feature": phrases(
        """
        parking | delivery | wheelchair access | a garden | a terrace | wifi | live music |
        outdoor seats | takeaway | a bar | disabled access | vegan options | <word> access | a
        <word> | <word>
        """
    ),
    "info": phrases(
        """
        address | phone number | postcode | rating | price range | menu | opening times | area |
        website | name | <word>
        """
    ),
    "digit": phrases(
        """
        2 | 3 | 4 | two | three | four
        """
    ),
}
