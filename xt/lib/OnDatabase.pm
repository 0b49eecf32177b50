package OnDatabase;

# For tests of t that are run with -MOnDatabase: each of their sites keeps its sessions in
# a new database of the server whose socket lies in LOGMEIN_TEST_SERVER.

use strict;
use warnings;
use Database              ();
use Stored                ();
use Test::Cpanel::LogMeIn ();

my $server = Database->at( $ENV{LOGMEIN_TEST_SERVER} );

sub _sql {
    my ( $site, $statement ) = @_;
    my ($name) = $site->{settings}{store} =~ m{/(\w+)[?]} or die 'no database';
    return $server->sql( $name, $statement );
}

# The ids, groups and values of a part, as they lie there.
sub _bytes {
    my ( $site, $part ) = @_;
    return join q{}, map { pack 'H*', $_ } split /\n/,
        _sql( $site,
        "SELECT encode(id || grp || value, 'hex') FROM logmein.entry WHERE part = $part ORDER BY id"
        );
}

no warnings 'redefine';    ## no critic (ProhibitNoWarnings)

my $new = \&Test::Cpanel::LogMeIn::new;
*Test::Cpanel::LogMeIn::new = sub {
    my ( $class, %given ) = @_;
    return ( $server->site_by( sub { $new->( $class, @_ ) }, %given ) )[0];
};
my $forget = \&Test::Cpanel::LogMeIn::forget;
*Test::Cpanel::LogMeIn::forget = sub {
    my ($site) = @_;
    return $forget->($site) if $site->{settings}{store} =~ /\Almdb:/;
    _sql( $site, 'DELETE FROM logmein.entry WHERE part = 1' );
    return;
};
*Stored::durable  = sub { my ($site) = @_; return _bytes( $site, 0 ) };
*Stored::volatile = sub { my ($site) = @_; return _bytes( $site, 1 ) };

1;
