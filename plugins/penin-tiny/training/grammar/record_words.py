"""How log lines and invoice lines mention their parts."""

from __future__ import annotations

from .chance import phrases

CLAUSES = {
    "level": phrases(
        """
        {} | [{}] | level={} | lvl:{} | severity={} | <{}> | {}:
        """
    ),
    "service": phrases(
        """
        {}: | service={} | svc {} | [{}] | module={} | in {} | {} says | component {}
        """
    ),
    "code": phrases(
        """
        status {} | code={} | returned {} | with code {} | ({}) | rc={} | exit {} | error {} |
        http {} | -> {} | got {} | result {}
        """
    ),
    "ms": phrases(
        """
        took {} ms | in {} ms | latency={}ms | after {} ms | duration {} ms | ({} ms) | elapsed={}
        ms | {} ms | time={}ms | {}ms | needed {} ms
        """
    ),
    "user": phrases(
        """
        user {} | for user={} | uid={} | by {} | account {} | login {} | u={} | user: {} |
        requested by {} | owner {}
        """
    ),
    "host": phrases(
        """
        from {} | host={} | at {} | on {} | ip {} | client {} | node {} | server {} | peer={} | @
        {}
        """
    ),
    "invoice": phrases(
        """
        invoice {} | Inv. no {} | No: {} | bill {} | invoice no. {} | {} (invoice) | number {} |
        inv {} | your bill {} | document {}
        """
    ),
    "vendor": phrases(
        """
        from {} | vendor: {} | supplier {} | seller {} | by {} | company {} | issued by {} | firm
        {} | billed by {} | {} sends the bill
        """
    ),
    "item": phrases(
        """
        item: {} | for {} | goods: {} | pos. {} | article {} | product: {} | ordered {} | one
        position: {} | delivered {} | {} as ordered
        """
    ),
    "quantity": phrases(
        """
        qty {} | {} pcs | {} units | x{} | quantity {} | amount of pieces: {} | {} pieces | {} x |
        count: {} | pcs: {}
        """
    ),
    "total": phrases(
        """
        total {} | sum: {} | amount due {} | to pay {} | grand total {} | balance {} | in all {} |
        {} to be paid | altogether {} | invoice amount {}
        """
    ),
    "due": phrases(
        """
        due {} | payable by {} | due date: {} | until {} | pay before {} | deadline {} | by {} |
        no later than {} | due on {} | payable until {}
        """
    ),
}
