"""How the fields of a note are mentioned, keyed and asked for."""

from __future__ import annotations

from .chance import phrases

#: In prose, around the value.
CLAUSES = {
    "name": phrases(
        """
        the customer is {} | {} wrote to us | this is {} | message from {} | my name is {} |
        bought by {} | client {} | the buyer is called {} | {} asked us to help | signed, {} | a
        note from {} | requested by {} | our client {} called | I am {} | {} has placed it | the
        account belongs to {} | spoke with {} | {} here | on behalf of {} | sold to {} | for the
        attention of {} | {} paid | the name is {} | dear team, {} again | {} got in touch | we
        heard from {} | written by {} | it was {} who asked | a request by {} | {} would like an
        answer | {} speaking | best, {} | yours, {} | the person is {} | the guest is {} | it
        belongs to {} | {} is waiting | ordered by {} | asked by {} | this concerns {} | user {} |
        owner: {} | {} signed it | the lady's name was {} | caller: {} | greetings from {} | we
        spoke to {} | Mr {} | Mrs {} | paid by {} | our member {} | on file as {} | {} needs help
        """
    ),
    "email": phrases(
        """
        the e-mail is {} | contact {} | reply to {} | write to {} | mail {} | reach me at {} |
        send it to {} | please answer to {} | you can reach them under {} | mailbox {} | his
        address is {} | her e-mail: {} | forward it to {} | copy {} as well | login {} | send the
        invoice to {} | reply-to {} | we have {} on file | the mail address is {} | confirmation
        went to {} | use {} for questions | respond to {} | the inbox is {} | sent from {} | drop
        a line at {} | an answer goes to {} | we wrote to {} | we use {} | the account's mail is
        {} | it came from {} | notify {} please | find me under {} | get back to {} | mails go to
        {} | subscribe {} | address: {} | {} is my mail | e-mailed by {} | their e-mail, {} | at
        {} | or {}
        """
    ),
    "amount": phrases(
        """
        the total is {} | paid {} | it cost {} | amount due {} | charged {} | the price was {} |
        for {} | we billed {} | the sum of {} | at a price of {} | {} was paid | a charge of {} |
        the invoice says {} | they owe {} | {} is still open | costs {} in all | worth {} | refund
        {} | total {} | a payment of {} | the bill came to {} | {} in total | the fee was {} | {}
        was charged | the cost is {} | transferred {} | minus {} | we got {} | in the amount of {}
        | {} to pay | it is {} | a bill of {} | returned {} | the balance is {} | deposit of {} |
        the order came to {} | the value is {} | credit of {} | {} went out | spent {} | offered
        {} | billed at {} | received {} | gave {}
        """
    ),
    "date": phrases(
        """
        on {} | dated {} | the date is {} | ordered on {} | since {} | due {} | it happened on {}
        | by {} | no later than {} | delivery on {} | as of {} | from {} | booked for {} | the
        deadline is {} | {} was the day | scheduled for {} | sent on {} | the day was {} | since
        {} it is open | it starts {} | it ends on {} | valid until {} | from {} on | issued {} |
        {} it is | received on {} | the visit is on {} | we met on {} | before {} | after {} |
        date: {} | the appointment is {} | arrived {} | planned for {} | written on {} | effective
        {}
        """
    ),
    "order": phrases(
        """
        order {} | the order number is {} | reference {} | order id {} | about order {} | ref {} |
        order no. {} | their order {} | under number {} | case {} | the reference is {} |
        regarding {} | {} is the order | see order {} | with order number {} | purchase {} |
        ticket {} | {} is my order | the number is {} | no. {} | in reference to {} | it is about
        {} | file {} | the case number is {} | order: {} | the code {} | order code {} | known as
        {} | booking {} | id {} | transaction {} | find it as {}
        """
    ),
    "phone": phrases(
        """
        phone {} | call {} | the phone number is {} | tel {} | ring {} | reach us on {} | his
        number is {} | mobile {} | or by phone at {} | call back {} | dial {} | the number {}
        works | telephone: {} | tel. {} | phone: {} | text {} | my phone is {} | you may call {} |
        or {} by phone | the line is {} | we tried {} | her mobile is {} | call us at {} | via {}
        | their telephone is {} | a call to {}
        """
    ),
    "city": phrases(
        """
        from {} | in {} | ship to {} | the city is {} | living in {} | based in {} | the shop in
        {} | goes to {} | moved to {} | our office in {} | near {} | deliver to {} | the place is
        {} | lives near {} | it ships to {} | I live in {} | to {} | the town is {} | they moved
        to {} | the store in {} | a flat in {} | sent from {} | our team in {} | heading to {} |
        the branch in {} | of {} | they are in {} | posted in {}
        """
    ),
    "product": phrases(
        """
        the product is {} | item {} | one {} | bought a {} | a {} was sent | they want a {} | the
        item was {} | ordered the {} | {} is broken | a new {} | about the {} | returned {} | one
        unit of {} | interested in {} | it is a {} | the {} stopped | wants the {} | one {} more |
        the goods are {} | got a {} | our {} | sells the {} | for the {} | asks about {} | the
        model is {} | sent back the {} | two of {} | their {} failed | product: {}
        """
    ),
}
#: In lists of keys and values.
KEYS = {
    "name": phrases(
        """
        Name | Customer | Client | From | name | Buyer | Full name | customer | Contact name |
        User | Person | Sender | Owner | Guest | Caller | by | Signed | NAME | Account holder |
        Member | Requester
        """
    ),
    "email": phrases(
        """
        Email | Mail | E-mail | Contact | email | e-mail | Mailbox | Address | mail | Email
        address | Inbox | Mail to | Reply | EMAIL | Mail address | Login | user mail | contact
        """
    ),
    "amount": phrases(
        """
        Amount | Total | Price | Paid | amount | Sum | Cost | Value | total | Charge | price | Fee
        | Bill | Balance | AMOUNT | Sum total | Payment | Billed | Grand total | paid
        """
    ),
    "date": phrases(
        """
        Date | Day | On | date | When | Due | Issued | day | DATE | On day | Issued on | Since |
        Deadline | when | Created
        """
    ),
    "order": phrases(
        """
        Order | Order id | Ref | Order no | order | Case | Number | No | Order number | id | ORDER
        | Ref no | Reference | Order nr | Transaction | Code | Booking | ref
        """
    ),
    "phone": phrases(
        """
        Phone | Tel | Call | phone | Mobile | Telephone | tel | PHONE | Cell | Line | Call at |
        Phone no | mobile
        """
    ),
    "city": phrases(
        """
        City | Town | Place | city | Location | Site | place | CITY | Where | Region | Branch |
        town | Ship to
        """
    ),
    "product": phrases(
        """
        Product | Item | Goods | product | Article | Model | item | PRODUCT | Thing | Sold item |
        article | Unit
        """
    ),
}
#: What a question asks for.
QUESTIONED = {
    "name": phrases(
        """
        name | customer name | full name | buyer's name | customer | sender
        """
    ),
    "email": phrases(
        """
        e-mail | email | e-mail address | email address | mail address | mail | contact address
        """
    ),
    "amount": phrases(
        """
        amount | total | price | sum | cost | total amount | amount of money
        """
    ),
    "date": phrases(
        """
        date | day | day of it | exact date
        """
    ),
    "order": phrases(
        """
        order id | order number | order | order code | reference | case number
        """
    ),
    "phone": phrases(
        """
        phone number | phone | telephone number | mobile number
        """
    ),
    "city": phrases(
        """
        city | town | place | name of the city
        """
    ),
    "product": phrases(
        """
        product | item | article | name of the product
        """
    ),
}
#: What an instruction may call a field whose key stays the same.
DESCRIBED = {
    "name": phrases(
        """
        the customer name | the name of the customer | the buyer's name | the full name | the
        buyer | the client's name | who wrote it | the person | the client name | the sender's
        name | their name | his name | customer name | the full name of the customer
        """
    ),
    "email": phrases(
        """
        the e-mail address | the mail address | the e-mail | the contact address | their email |
        the email address | e-mail address | the mail | their mail address | the customer's email
        | the email | the contact mail
        """
    ),
    "amount": phrases(
        """
        the price | the total amount | the sum | the amount paid | the total | the cost | the
        amount of money | how much was paid | the sum of money | the price paid | the payment |
        total amount
        """
    ),
    "date": phrases(
        """
        the date | the day | the day it happened | when it was | the day mentioned | date of the
        order
        """
    ),
    "order": phrases(
        """
        the order number | the order id | the reference | the number of the order | the order code
        | the case number | order number
        """
    ),
    "phone": phrases(
        """
        the phone number | the telephone number | the phone | the mobile number | their phone
        number | the number to call
        """
    ),
    "city": phrases(
        """
        the city | the town | the place | the town name | where it is | name of the city
        """
    ),
    "product": phrases(
        """
        the product | the item | the article | the product name | what was bought | the goods
        """
    ),
}
PORTUGUESE = {
    "name": phrases(
        """
        cliente {} | encomenda de {} | nome: {}
        """
    ),
    "email": phrases(
        """
        e-mail {} | escrever para {} | contacto {}
        """
    ),
    "amount": phrases(
        """
        total {} | preço {} | foi pago {}
        """
    ),
    "date": phrases(
        """
        em {} | data {}
        """
    ),
    "order": phrases(
        """
        pedido {} | número {}
        """
    ),
    "phone": phrases(
        """
        telefone {}
        """
    ),
    "city": phrases(
        """
        em {} | para {}
        """
    ),
    "product": phrases(
        """
        produto {} | artigo {}
        """
    ),
}
ASIDES = phrases(
    """
        thanks | please help | see below | as agreed | best regards | hello | hi team | ok | note
        | urgent | many thanks | see you | as discussed | for your information | no rush | kind
        regards | good morning | quick question | fyi | please confirm | all good | as before | by
        the way | attached | again | once more | sorry for the delay | let me know
    """
)
#: Other people and addresses in a note; the words in front say that they are not meant.
BYSTANDERS = phrases(
    """
        handled by {} | our agent {} | seller {} | clerk {} | cc {} | your colleague {} | agent:
        {} | sold by our {} | served by {} | not {} | instead of {} | seen by {} | support: {}
    """
)
